"""A further member of a zone with a million resources: one seal, one signature, one row; and what re-encrypting files costs."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.measure import Result, missing, rounded, told
from benchmarks.zones.place import NEWCOMERS, RESOURCES, SMALL, Place
from cloister.base.clock import system_clock
from cloister.offices import granting

GOAL_MILLISECONDS = 10.0
FILES = 1_000
FILE_BYTES = 4_096
RECIPIENTS = 120


async def run(place: Place) -> list[Result]:
    before = await _seconds(place, await place.people("new", NEWCOMERS // 2))
    await place.fill_resources()
    held = await place.database.fetchval("select count(*) from care.res")
    after = await _seconds(place, (await place.people("new", NEWCOMERS))[NEWCOMERS // 2 :])
    value = statistics.median(after) * 1000
    name = f"add the 121st member to a zone of {held:,} resources"
    baseline = await asyncio.to_thread(age_seconds)
    if baseline is None:
        first = missing("age: re-encrypt 1,000 files for a new member", "ms", "age is not installed")
        return [first, Result(name=name, value=rounded(value), unit="ms", goal="<= 10 ms", holds=value <= GOAL_MILLISECONDS)]
    assert held >= RESOURCES
    return [
        Result(
            name=f"{name} (baseline: age re-encrypts {FILES:,} files)",
            value=rounded(value),
            unit="ms",
            baseline=rounded(baseline * 1000),
            ratio=rounded(value / (baseline * 1000)),
            goal=f"<= {GOAL_MILLISECONDS:g} ms",
            holds=value <= GOAL_MILLISECONDS,
        ),
        told("the same in an empty zone", statistics.median(before) * 1000, "ms"),
    ]


async def _seconds(place: Place, people: list[str]) -> list[float]:
    """The whole act: look the person up, verify the certificate, seal, sign, store, with its audit entry on the disk."""
    took = []
    now = system_clock()
    for person in people:
        began = time.perf_counter()
        await granting.grant(
            place.keyring,
            place.gate,
            zone=SMALL,
            person=person,
            right="write",
            live_until=now + timedelta(days=30),
            reason="Bench",
            now=now,
        )
        took.append(time.perf_counter() - began)
    return took


def age_seconds() -> float | None:
    """Every file decrypted and encrypted again for one recipient more, as age has no other way."""
    if shutil.which("age") is None or shutil.which("age-keygen") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="cloister-age-") as name:
        folder = Path(name)
        recipients = []
        for number in range(RECIPIENTS + 1):
            key = folder / f"key-{number}"
            said = subprocess.run(["age-keygen", "-o", str(key)], capture_output=True, text=True, check=True)
            recipients.append((said.stderr or said.stdout).split("Public key: ")[1].strip())
        (folder / "before").write_text("\n".join(recipients[:-1]))
        (folder / "after").write_text("\n".join(recipients))
        plain = folder / "plain"
        plain.write_bytes(os.urandom(FILE_BYTES))
        first = folder / "file-0.age"
        subprocess.run(["age", "-R", str(folder / "before"), "-o", str(first), str(plain)], check=True)
        for number in range(1, FILES):
            shutil.copy(first, folder / f"file-{number}.age")
        began = time.perf_counter()
        for number in range(FILES):
            sealed = folder / f"file-{number}.age"
            opened = subprocess.run(["age", "-d", "-i", str(folder / "key-0"), str(sealed)], capture_output=True, check=True).stdout
            subprocess.run(["age", "-R", str(folder / "after"), "-o", str(sealed)], input=opened, check=True)
        return time.perf_counter() - began
