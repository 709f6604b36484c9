"""Cold open: from the rows as stored to the first dossier key, everything verified; beside opening one file with age and gpg."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Result, rounded, told
from benchmarks.zones.place import SMALL, Place
from cloister.zones import dossiers

GOAL_MILLISECONDS = 5.0
TIMES = 40


async def run(place: Place) -> list[Result]:
    person = (await place.people("small", 1))[0]
    rows, unlocker, kek = await place.member(person)
    keys, dossier = place.keyring.passing_on(SMALL), place.one_dossier
    wrapped = place.wrap(keys, dossier, dossiers.new_dossier_key())
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        keyring = place.open(person, rows, unlocker, kek)
        keyring.unwrap(SMALL, keys.epoch, dossier, 1, wrapped)
        took.append(time.perf_counter() - began)
        keyring.close()
    value = statistics.median(took) * 1000
    age, gpg = await asyncio.to_thread(age_milliseconds), await asyncio.to_thread(gpg_milliseconds)
    line = Result(
        name="cold open of a zone, to the first dossier key",
        value=rounded(value),
        unit="ms",
        goal=f"<= {GOAL_MILLISECONDS:g} ms",
        holds=value <= GOAL_MILLISECONDS,
    )
    results = [line]
    if age is not None:
        results.append(
            Result(
                name="the same beside age: decrypt one file of 4 KB, as one of 121",
                value=rounded(value),
                unit="ms",
                baseline=rounded(age),
                ratio=rounded(value / age),
            )
        )
    if gpg is not None:
        results.append(
            Result(
                name="the same beside gpg: decrypt one file of 4 KB",
                value=rounded(value),
                unit="ms",
                baseline=rounded(gpg),
                ratio=rounded(value / gpg),
            )
        )
    results.append(told("slowest of these opens", max(took) * 1000, "ms"))
    return results


def age_milliseconds() -> float | None:
    if shutil.which("age") is None or shutil.which("age-keygen") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="cloister-age-") as name:
        folder = Path(name)
        recipients = []
        for number in range(121):
            said = subprocess.run(["age-keygen", "-o", str(folder / f"key-{number}")], capture_output=True, text=True, check=True)
            recipients.append((said.stderr or said.stdout).split("Public key: ")[1].strip())
        (folder / "recipients").write_text("\n".join(recipients))
        (folder / "plain").write_bytes(os.urandom(4096))
        subprocess.run(["age", "-R", str(folder / "recipients"), "-o", str(folder / "sealed"), str(folder / "plain")], check=True)
        return _median(["age", "-d", "-i", str(folder / "key-120"), "-o", str(folder / "out"), str(folder / "sealed")])


def gpg_milliseconds() -> float | None:
    if shutil.which("gpg") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="cgpg-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o700)
        home = ["gpg", "--homedir", name, "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
        subprocess.run([*home, "--quick-generate-key", "bench@example.org", "default", "default", "never"], check=True, capture_output=True)
        (folder / "plain").write_bytes(os.urandom(4096))
        sealing = [*home, "--trust-model", "always", "-r", "bench@example.org", "-o", str(folder / "sealed"), "-e", str(folder / "plain")]
        subprocess.run(sealing, check=True, capture_output=True)
        took = _median([*home, "-o", str(folder / "out"), "-d", str(folder / "sealed")])
        subprocess.run(["gpgconf", "--homedir", name, "--kill", "all"], check=False, capture_output=True)
        return took


def _median(command: list[str]) -> float:
    took = []
    for _ in range(15):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
