"""`cloister up`: what it says when it cannot start, what it survives, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_trust import RunningTrust, begin, folders, founded_once, running_trust


@pytest.fixture(scope="module")
def own() -> Iterator[RunningTrust]:
    """A trust that these tests may hurt."""
    with running_trust() as running:
        yield running


def _refusal(trust: RunningTrust) -> str:
    assert trust.process.wait(60) != 0
    return trust.shown()


@pytest.mark.parametrize("part", ["gate", "controller", "agent", "envoy", "postgres"])
def test_a_killed_part_is_reported_by_name_and_runs_again(own: RunningTrust, part: str) -> None:
    before = len(own.shown())
    os.kill(own.pid_of(part), signal.SIGKILL)
    own.wait_for(f"part '{part}' ended (signal SIGKILL)", 20, after=before)
    own.wait_for(f"part '{part}' runs again", 60, after=before)
    _until_somebody_can_sign_in(own)


def _until_somebody_can_sign_in(trust: RunningTrust) -> None:
    """Parts that lost another one find it again within seconds."""
    person = trust.person(role="nurse")
    deadline = time.monotonic() + 30
    while True:
        try:
            signed_in = trust.sign_in(person)
            assert signed_in.client.get("/session/state").json()["state"] == "active"
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_a_session_survives_the_end_of_envoy_and_of_the_controller(own: RunningTrust) -> None:
    nurse = own.sign_in(own.person(role="nurse", ward="saint-roch-surgery"))
    for part in ("envoy", "controller"):
        before = len(own.shown())
        os.kill(own.pid_of(part), signal.SIGKILL)
        own.wait_for(f"part '{part}' runs again", 60, after=before)
    with own.client(auth=nurse.client.auth) as client:
        state = client.get("/session/state", headers={"cookie": f"__Host-ticket={nurse.ticket}"})
    assert state.json()["session"] == nurse.session
    assert state.json()["state"] == "active"


def test_a_session_says_that_the_database_is_away_and_goes_on_when_it_is_back(own: RunningTrust) -> None:
    doctor = own.sign_in(own.person(role="doctor", ward="saint-roch-emergency"))
    before = len(own.shown())
    os.kill(own.pid_of("postgres"), signal.SIGKILL)
    away = doctor.client.get("/fhir/R4/Patient")
    assert away.status_code in (200, 503)
    assert away.json()["resourceType"] in ("Bundle", "OperationOutcome")
    own.wait_for("part 'postgres' runs again", 60, after=before)
    deadline = time.monotonic() + 20
    while (answer := doctor.client.get("/fhir/R4/Patient")).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert answer.status_code == 200


def test_another_up_on_the_same_state_is_refused(own: RunningTrust) -> None:
    other = begin(own.state, own.runtime.with_name("other"))
    shown = _refusal(other)
    assert f"process {own.process.pid}" in shown
    assert "CLOISTER_STATE" in shown
    assert own.process.poll() is None


def test_another_trust_in_the_same_runtime_folder_is_refused(own: RunningTrust) -> None:
    shown = _refusal(begin(own.state.with_name("other"), own.runtime))
    assert "CLOISTER_RUNTIME" in shown


def test_a_taken_port_is_said_before_anything_starts(own: RunningTrust) -> None:
    with folders() as (state, runtime):
        shown = _refusal(begin(state, runtime, CLOISTER_PORT=own.environment["CLOISTER_PORT"]))
        assert f"port {own.environment['CLOISTER_PORT']}" in shown
        assert "CLOISTER_PORT" in shown
        assert not (state / "database").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with folders() as (_, runtime):
        shown = _refusal(begin(in_the_way / "state", runtime))
    assert str(in_the_way) in shown
    assert "CLOISTER_STATE" in shown


def test_a_stopped_trust_leaves_nothing_running_and_resumes_with_everything_and_so_does_one_whose_supervisor_is_killed() -> None:
    with folders() as (state, runtime):
        founded_once(state)
        first = begin(state, runtime)
        first.wait_for("ready: ")
        people = first.sign_ins["people"]
        first.sign_in(first.person(role="doctor"))
        assert first.stop() == 0
        assert _still_running(runtime) == []
        second = begin(state, runtime, CLOISTER_PORT=first.environment["CLOISTER_PORT"])
        try:
            second.wait_for("ready: ")
            assert "founding" not in second.shown()
            assert second.sign_ins["people"] == people
            second.sign_in(second.person(role="doctor"))
            os.kill(second.process.pid, signal.SIGKILL)
            second.process.wait()
        finally:
            second.stop()
        deadline = time.monotonic() + 30
        while _still_running(runtime) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert _still_running(runtime) == []
        third = begin(state, runtime)
        try:
            third.wait_for("ready: ")
            third.sign_in(third.person(role="doctor"))
        finally:
            assert third.stop() == 0


def test_interrupted_at_any_moment_of_its_first_start_a_trust_starts_later_as_if_nothing_had_happened() -> None:
    with folders() as (state, runtime):
        for seconds in (0.8, 2.0):
            interrupted = begin(state, runtime)
            time.sleep(seconds)
            interrupted.stop()
            assert _still_running(runtime) == [], seconds
        last = begin(state, runtime)
        try:
            last.wait_for("ready: ")
            last.sign_in(last.person(role="doctor"))
        finally:
            assert last.stop() == 0


def _still_running(runtime: Path) -> list[str]:
    """Processes that were started for this runtime folder: by their environment or their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                known = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(runtime).encode() in known:
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()[:80]!r}")
    return found
