"""Somebody is revoked while signed in: the session ends, or loses the ward, within five seconds, and nobody else notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx
import pytest
from journeys_cast import CARDIOLOGIST, CARDIOLOGY_NURSE, FHIR, PSYCHIATRIC_NURSE, SURGERY_NURSE, Administrator, patient
from running_trust import RunningTrust, SignedIn, running_trust

SECONDS_MAX: Final = 5.0
CARDIOLOGY: Final = "saint-roch-cardiology"


@pytest.fixture(scope="module")
def hospital() -> Iterator[RunningTrust]:
    with running_trust(CLOISTER_SLOTS="32") as running:
        yield running


@pytest.fixture(scope="module")
def officer(hospital: RunningTrust) -> Administrator:
    return Administrator.of(hospital)


@dataclass
class AtWork:
    """Somebody who goes on working meanwhile; `faults` are answers that were not what a colleague expects."""

    client: httpx.Client
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            answer = self.client.get(f"{FHIR}/Patient", params={"family": "Nobody"})
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if answer.status_code != 200:
                self.faults.append(f"{answer.status_code} {answer.text[:80]}")
            time.sleep(0.05)


def seconds_until(done: Callable[[], bool], limit: float = 20.0) -> float:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < limit, "it never came"
        time.sleep(0.05)
    return time.monotonic() - begun


def zones_of(one: SignedIn) -> int:
    return int(one.client.get("/session/state").json()["zones"])


def test_a_nurse_whose_certificate_is_revoked_is_signed_out_and_a_doctor_works_on(hospital: RunningTrust, officer: Administrator) -> None:
    adele = hospital.sign_in(hospital.person(sign_in=CARDIOLOGY_NURSE))
    claire = AtWork(hospital.sign_in(hospital.person(sign_in=CARDIOLOGIST)).client)
    stop = threading.Event()
    work = threading.Thread(target=claire.work, args=(stop,))
    work.start()
    assert adele.client.get(f"{FHIR}/Patient", params={"family": "Nobody"}).status_code == 200
    officer.change(
        f"update trust.certificate set revoked = now() where person = (select id from trust.person where sign_in = '{CARDIOLOGY_NURSE}')"
    )
    try:
        took = seconds_until(lambda: adele.client.get(f"{FHIR}/Patient", params={"family": "Nobody"}).status_code != 200)
        answer = adele.client.get(f"{FHIR}/Patient", params={"family": "Nobody"})
        page = adele.client.get("/", headers={"accept": "text/html"})
    finally:
        stop.set()
        work.join()
    assert "Your access was ended." in answer.text
    assert page.status_code == 403
    assert "Your access was ended." in page.text
    assert took < SECONDS_MAX
    assert claire.faults == []
    assert claire.slowest < 2.0


def test_a_doctor_whose_grant_is_revoked_loses_that_ward_and_keeps_the_others(hospital: RunningTrust, officer: Administrator) -> None:
    claire = hospital.sign_in(hospital.person(sign_in=CARDIOLOGIST))
    elise = AtWork(hospital.sign_in(hospital.person(sign_in=PSYCHIATRIC_NURSE)).client)
    before = zones_of(claire)
    stop = threading.Event()
    work = threading.Thread(target=elise.work, args=(stop,))
    work.start()
    try:
        officer.change(
            f"""update trust."grant" set revoked = now() where zone = '{CARDIOLOGY}'
                 and person = (select id from trust.person where sign_in = '{CARDIOLOGIST}')"""
        )
        took = seconds_until(lambda: zones_of(claire) == before - 1)
    finally:
        stop.set()
        work.join()
    assert took < SECONDS_MAX
    assert elise.faults == []
    assert claire.client.get(f"{FHIR}/Patient", params={"family": "Nobody"}).status_code == 200
    written = claire.client.post(f"{FHIR}/Patient", json=patient())
    assert written.status_code == 201, "her other zones are open as before"


def test_while_the_database_was_away_a_revocation_is_not_missed(hospital: RunningTrust, officer: Administrator) -> None:
    nadia = hospital.sign_in(hospital.person(sign_in=SURGERY_NURSE))
    before = zones_of(nadia)
    officer.change(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'cloister_gate'",
        f"""update trust."grant" set revoked = now() where person = (select id from trust.person where sign_in = '{SURGERY_NURSE}')""",
    )
    took = seconds_until(lambda: zones_of(nadia) < before)
    assert took < SECONDS_MAX
