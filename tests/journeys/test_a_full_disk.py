"""The state's disk runs full while people write: said in words, nothing acknowledged is lost, and it goes on when there is space again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from journeys_cast import FHIR, Company, bundle, created, observation, patient, reference, refusal, told, until, word
from running_trust import RunningTrust, begin, folders, founded_once

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

MEGABYTES: int = 320
SECONDS_MAX: float = 60


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"this machine allows no small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)
    folder.rmdir()


@pytest.fixture(scope="module")
def cramped(small_disk: Path) -> Iterator[RunningTrust]:
    with folders() as (_, runtime):
        founded_once(small_disk / "trust")
        trust = begin(small_disk / "trust", runtime, CLOISTER_SLOTS="8")
        try:
            trust.wait_for("ready: ")
            yield trust
        finally:
            trust.stop()


def free(folder: Path) -> int:
    at = os.statvfs(folder)
    return at.f_bavail * at.f_frsize


def fill(folder: Path, leave: int) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(max(0, free(folder) - leave)))
    return ballast


def test_a_full_disk_is_said_in_words_and_nothing_acknowledged_is_lost(cramped: RunningTrust, small_disk: Path) -> None:
    company = Company(cramped)
    program = company.program()
    who = reference(created(program, patient(word())))
    kept = [created(program, observation(who))["id"]]
    ballast = fill(small_disk, 200_000)
    note = [{"text": os.urandom(60_000).hex()}]
    said = set()

    def refused() -> bool:
        answer = program.post(FHIR, json=bundle(("POST", "Observation", observation(who, note=note))))
        if answer.status_code == 200:
            kept.append(answer.json()["entry"][0]["response"]["location"].split("/")[1])
            return False
        said.add((answer.status_code, refusal(answer)))
        assert answer.status_code == 503, answer.text
        assert "Traceback" not in answer.text
        return told(answer) != ""

    until(refused, SECONDS_MAX, every=0)
    for _ in range(5):
        until(refused, SECONDS_MAX)
    assert said == {(503, "disk-full")}
    ballast.unlink()
    until(lambda: program.get(f"{FHIR}/{who}").status_code == 200, SECONDS_MAX)
    until(lambda: program.post(f"{FHIR}/Observation", json=observation(who)).status_code == 201, SECONDS_MAX)
    found = program.get(f"{FHIR}/Observation?patient={who}&_count=1000&_elements=id").json()
    assert set(kept) <= {entry["resource"]["id"] for entry in found["entry"]}
    company.close()


def lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_trust_whose_supervisor_is_killed_starts_again_with_all_its_data(cramped: RunningTrust) -> None:
    company = Company(cramped)
    who = created(company.program(), patient(word()))
    written = created(company.program(), observation(reference(who)))
    pids = {part: cramped.pid_of(part) for part in ("postgres", "gate", "controller", "agent", "envoy")}
    os.kill(cramped.process.pid, signal.SIGKILL)
    cramped.process.wait()
    until(
        lambda: (
            not any(
                Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
                for pid in pids.values()
            )
        ),
        30,
    )
    again = begin(cramped.state, cramped.runtime, CLOISTER_SLOTS="8", CLOISTER_PORT=cramped.environment["CLOISTER_PORT"])
    cramped.process = again.process
    again.wait_for("ready: ")
    back = Company(again)
    assert back.program().get(f"{FHIR}/{reference(written)}").json()["valueQuantity"]["value"] == 72
    back.close()
