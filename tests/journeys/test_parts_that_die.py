"""Each part of a running trust is killed while people work: it is named, comes back, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from journeys_cast import FHIR, SURGERY_NURSE, Administrator, Company, created, observation, patient, reference, told, until, word
from running_trust import RunningTrust

PARTS: Final = ("postgres", "gate", "controller", "agent", "envoy", "zygote")
SECONDS_MAX: Final = 45


class Round:
    """A program that writes one observation after another, and remembers which were acknowledged."""

    def __init__(self, client: httpx.Client, about: str) -> None:
        self._client = client
        self._about = about
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[str] = []
        self.refused: list[int] = []
        self.words: set[str] = set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._client.post(f"{FHIR}/Observation", json=observation(self._about))
            except httpx.HTTPError as cut:
                self.words.add(type(cut).__name__)
                time.sleep(0.05)
                continue
            if answer.status_code == 201:
                self.acknowledged.append(answer.json()["id"])
            else:
                self.refused.append(answer.status_code)
                self.words.add(answer.text[:400])
                time.sleep(0.02)
            time.sleep(0.005)

    def goes_on(self) -> None:
        """Until further writes are acknowledged; says what was said instead, if none are."""
        count = len(self.acknowledged)
        try:
            until(lambda: len(self.acknowledged) > count + 3, SECONDS_MAX)
        except AssertionError:
            raise AssertionError((len(self.refused), self.refused[-5:], self.words)) from None

    def __enter__(self) -> Round:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture(scope="module")
def somebody(garrison: Company) -> dict[str, Any]:
    return created(garrison.program(), patient(word()), **{"cloister-zone": "saint-roch-surgery"})


@pytest.fixture
def nadia(garrison: Company) -> httpx.Client:
    return garrison.person(SURGERY_NURSE)


def pid_of(trust: RunningTrust, part: str) -> int:
    if part != "zygote":
        return trust.pid_of(part)
    agent = trust.pid_of("agent")
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            line, command = (entry / "stat").read_bytes(), (entry / "cmdline").read_bytes()
            if int(line[line.rindex(b")") + 2 :].split()[1]) == agent and b"cloister.assemble\0zygote\0" in command:
                return int(entry.name)
    raise LookupError(part)


def stands(trust: RunningTrust, part: str, before: int) -> bool:
    with contextlib.suppress(LookupError):
        return pid_of(trust, part) != before
    return False


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_is_named_and_comes_back_while_nadia_works_on(
    part: str, besieged: RunningTrust, garrison: Company, somebody: dict[str, Any], nadia: httpx.Client
) -> None:
    session = nadia.get("/session/state").json()["session"]
    shown, before = len(besieged.shown()), pid_of(besieged, part)
    with Round(garrison.program(), reference(somebody)) as work:
        until(lambda: len(work.acknowledged) > 3)
        os.kill(before, signal.SIGKILL)
        until(lambda: stands(besieged, part, before), SECONDS_MAX)
        if part == "zygote":
            agent_log = besieged.state / "logs" / "agent.log"
            until(lambda: '"zygote.lost"' in agent_log.read_text() or "zygote" in agent_log.read_text()[-2000:])
        else:
            besieged.wait_for(f"part '{part}' ended (signal SIGKILL)", 20, after=shown)
            besieged.wait_for(f"part '{part}' runs again", SECONDS_MAX, after=shown)
        work.goes_on()
    until(lambda: nadia.get(f"{FHIR}/{reference(somebody)}").status_code == 200, SECONDS_MAX)
    assert nadia.get("/session/state").json() | {"session": session} == nadia.get("/session/state").json(), "the same session goes on"
    assert set(work.refused) <= {503}, (work.refused, work.words)
    found = garrison.program().get(f"{FHIR}/Observation?patient={somebody['id']}&_count=1000&_elements=id")
    kept = {entry["resource"]["id"] for entry in found.json().get("entry", [])}
    assert set(work.acknowledged) <= kept | {
        one for one in work.acknowledged if garrison.program().get(f"{FHIR}/Observation/{one}").status_code == 200
    }
    newcomer = besieged.sign_in(besieged.person(sign_in="philippe.garnier"))
    assert newcomer.client.get(f"{FHIR}/{reference(somebody)}").status_code == 200, "new people are let in"
    newcomer.client.post("/session/end")


def everything_is_there(garrison: Company, somebody: dict[str, Any], work: Round) -> None:
    found = garrison.program().get(f"{FHIR}/Observation?patient={somebody['id']}&_count=1000&_elements=id").json()
    kept = {entry["resource"]["id"] for entry in found["entry"]}
    assert found["total"] == len(kept)
    assert set(work.acknowledged) <= kept


def test_a_killed_connection_of_the_database_costs_a_moment_and_no_acknowledged_write(
    besieged: RunningTrust, garrison: Company, somebody: dict[str, Any], intruder: Administrator
) -> None:
    """PostgreSQL then ends all its connections and starts anew by itself, so the supervisor has nothing to tell."""
    with Round(garrison.program(), reference(somebody)) as work:
        until(lambda: len(work.acknowledged) > 3)
        os.kill(
            intruder.one("select pid from pg_stat_activity where usename = 'cloister_gate' order by query_start desc limit 1"),
            signal.SIGKILL,
        )
        work.goes_on()
    assert set(work.refused) <= {503}, (work.refused, work.words)
    everything_is_there(garrison, somebody, work)


def test_a_session_that_is_killed_is_named_in_the_log_and_its_person_signs_in_again(
    besieged: RunningTrust, garrison: Company, somebody: dict[str, Any]
) -> None:
    philippe = besieged.person(sign_in="philippe.garnier")
    at = besieged.sign_in(philippe)
    record = next(
        one for one in (json.loads(p.read_text()) for p in (besieged.runtime / "sessions").glob("*.json")) if one["session"] == at.session
    )
    os.kill(record["pid"], signal.SIGKILL)
    log = besieged.state / "logs" / "agent.log"
    until(lambda: any(at.session in line and "ended" in line for line in log.read_text().splitlines()))
    answer = at.client.get(f"{FHIR}/Patient")
    assert answer.status_code == 401
    assert "ended" in answer.text
    page = at.client.get("/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/login")
    again = besieged.sign_in(philippe)
    assert again.session != at.session
    assert again.client.get(f"{FHIR}/{reference(somebody)}").status_code == 200
    again.client.post("/session/end")


def test_gate_agent_and_controller_killed_at_once_lose_no_session(
    besieged: RunningTrust, nadia: httpx.Client, somebody: dict[str, Any]
) -> None:
    session = nadia.get("/session/state").json()["session"]
    before, shown = {part: pid_of(besieged, part) for part in ("gate", "agent", "controller")}, len(besieged.shown())
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for part in before:
        besieged.wait_for(f"part '{part}' runs again", SECONDS_MAX, after=shown)
    until(lambda: nadia.get(f"{FHIR}/{reference(somebody)}").status_code == 200, SECONDS_MAX)
    assert nadia.get("/session/state").json()["session"] == session


def test_a_database_that_stands_still_is_said_in_words_and_everything_goes_on_afterwards(
    besieged: RunningTrust, garrison: Company, nadia: httpx.Client, somebody: dict[str, Any], intruder: Administrator
) -> None:
    """Not killed but gone for a while: the supervisor is not asked, PostgreSQL is stopped between two of its lives."""
    part = besieged.pid_of("postgres")
    os.kill(besieged.process.pid, signal.SIGSTOP)  # nobody starts it again until we say so
    try:
        os.kill(part, signal.SIGINT)
        until(lambda: nadia.get(f"{FHIR}/{reference(somebody)}").status_code == 503, 20)
        answer = nadia.get(f"{FHIR}/{reference(somebody)}")
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (503, "transient")
        assert "database does not answer" in told(answer)
        assert answer.headers["retry-after"]
        written = nadia.post(f"{FHIR}/Observation", json=observation(reference(somebody)))
        assert written.status_code == 503
        page = nadia.get("/patients?q=zyx", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "<html" in page.text
        assert "Traceback" not in page.text
        with besieged.client() as stranger:
            door = stranger.post("/login/start", json={"sign_in": SURGERY_NURSE})
            assert door.status_code == 503
            assert door.headers["content-type"].startswith("application/json"), door.text
            assert door.json()["category"] == "unavailable"
            assert stranger.get("/login").status_code == 200
            token = stranger.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=("lab-gateway", "x" * 43))
            assert (token.status_code, token.json()["error"]) in {(503, "temporarily_unavailable"), (401, "invalid_client")}
    finally:
        os.kill(besieged.process.pid, signal.SIGCONT)
    until(lambda: nadia.get(f"{FHIR}/{reference(somebody)}").status_code == 200, SECONDS_MAX)
    assert nadia.post(f"{FHIR}/Observation", json=observation(reference(somebody))).status_code == 201
    before = intruder.one("select max(seq) from audit.event")
    nadia.get(f"{FHIR}/{reference(somebody)}").raise_for_status()
    assert intruder.one("select max(seq) from audit.event") > before
