"""A rota in a whole trust: an officer signs it, and sessions that are open gain and lose the ward on time; new keys interrupt nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from crowd import crowded
from journeys_cast import CARDIOLOGIST, FHIR, SURGERY_NURSE, observation, patient
from running_trust import RunningTrust, SignedIn, running_trust
from test_revoked_while_signed_in import AtWork, seconds_until

CARDIOLOGY: Final = "saint-roch-cardiology"
BY_PAGE: Final = {"accept": "text/html", "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def hospital() -> Iterator[RunningTrust]:
    with running_trust(CLOISTER_SLOTS="32", CLOISTER_DEMO_PATIENTS="4") as running:
        yield running


@pytest.fixture(scope="module")
def officer(hospital: RunningTrust) -> SignedIn:
    one = hospital.sign_in(hospital.person(role="access-officer"))
    one.client.headers["accept"] = "application/json"
    return one


def said(officer: SignedIn, path: str, **body: str) -> dict[str, Any]:
    answer = officer.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture(scope="module")
def team(officer: SignedIn) -> str:
    made = said(officer, "/offices/teams", name="Cardiology, nights", hospital="saint-roch")
    place = str(made["next"]).partition("?")[0]
    seconds_until(lambda: officer.client.get(place).json()["kept"])
    said(officer, f"{place}/zones", zone=CARDIOLOGY, right="write", days="30", reason="The ward at night")
    return place


def admit(doctor: SignedIn, person: dict[str, Any]) -> None:
    """A patient with a stay on the ward, so that the ward may read her."""
    written = doctor.client.post(f"{FHIR}/Patient", json=person)
    assert written.status_code == 201, written.text
    stay = {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{written.json()['id']}"},
        "location": [{"location": {"reference": f"Location/{CARDIOLOGY}"}, "status": "active"}],
    }
    assert doctor.client.post(f"{FHIR}/Encounter", json=stay).status_code == 201


def zones_of(one: SignedIn) -> int:
    return int(one.client.get("/session/state").json()["zones"])


def test_a_turn_opens_and_closes_the_ward_in_a_session_that_is_open(hospital: RunningTrust, officer: SignedIn, team: str) -> None:
    claire = hospital.sign_in(hospital.person(sign_in=CARDIOLOGIST))
    family = patient()
    admit(claire, family)
    nadia = hospital.sign_in(hospital.person(sign_in=SURGERY_NURSE))
    before = zones_of(nadia)

    def finds() -> int:
        answer = nadia.client.get(f"{FHIR}/Patient", params={"family": family["name"][0]["family"]})
        return int(answer.json()["total"]) if answer.status_code == 200 else -1

    assert finds() == 0
    start = datetime.now(UTC) + timedelta(seconds=5)
    end = start + timedelta(seconds=9)
    said(officer, f"{team}/turns", **{"person": SURGERY_NURSE, "from": start.isoformat(), "until": end.isoformat()})
    assert finds() == 0, "signed, and not yet hers"
    seconds_until(lambda: zones_of(nadia) == before + 1)
    gained = datetime.now(UTC)
    assert timedelta(0) <= gained - start < timedelta(seconds=8) * crowded()
    assert finds() == 1
    seconds_until(lambda: zones_of(nadia) == before)
    assert timedelta(seconds=-1) < datetime.now(UTC) - end < timedelta(seconds=1) * crowded(), "on time, with no request of hers"
    assert finds() == 0


def test_new_keys_reach_everybody_and_interrupt_nobody(hospital: RunningTrust, officer: SignedIn, team: str) -> None:
    claire = hospital.sign_in(hospital.person(sign_in=CARDIOLOGIST))
    reader = AtWork(claire.client)
    written = claire.client.post(f"{FHIR}/Patient", json=patient()).json()
    stop = threading.Event()
    work = threading.Thread(target=reader.work, args=(stop,))
    work.start()
    try:
        before = officer.client.get(f"/offices/keys/{CARDIOLOGY}").json()
        said(officer, f"/offices/keys/{CARDIOLOGY}/rotate")
        for _ in range(20):
            answer = claire.client.post(f"{FHIR}/Observation", json=observation(f"Patient/{written['id']}"))
            assert answer.status_code == 201, answer.text
            assert claire.client.post(f"{FHIR}/Patient", json=patient()).status_code == 201
            time.sleep(0.05)
        said(officer, f"/offices/keys/{CARDIOLOGY}/rewrap")
        after = officer.client.get(f"/offices/keys/{CARDIOLOGY}").json()
    finally:
        stop.set()
        work.join()
    assert reader.faults == []
    assert (after["epoch"], after["stale"]) == (before["epoch"] + 1, 0)
    fresh = claire.client.get(f"{FHIR}/Patient/{written['id']}")
    assert fresh.status_code == 200


def test_an_officer_works_through_the_pages(hospital: RunningTrust, officer: SignedIn, team: str) -> None:
    page = officer.client.get("/offices/teams", headers={"accept": "text/html"})
    assert "Cardiology, nights" in page.text
    refused = officer.client.post(f"{team}/turns", content="person=nobody&from=now&until=then", headers=BY_PAGE)
    assert refused.status_code == 404
    assert "nobody" in refused.text
    table = f'person,team,from,until\n{SURGERY_NURSE},"Cardiology, nights",2030-01-07T21:00Z,2030-01-08T07:00Z\n'
    rota = said(officer, "/offices/rotas", kind="table", table=table, source="rota.csv")["next"]
    shown = officer.client.get(rota, headers={"accept": "text/html"})
    assert shown.status_code == 200
    assert SURGERY_NURSE in shown.text
    said(officer, rota, line="2", act="sign")
    week = officer.client.get(f"{team}?day=2030-01-08", headers={"accept": "text/html"})
    assert "bg-blue-lt" in week.text
    keys = officer.client.get(f"/offices/keys/{CARDIOLOGY}", headers={"accept": "text/html"})
    assert keys.status_code == 200


def test_a_nurse_has_no_such_page(hospital: RunningTrust, team: str) -> None:
    nadia = hospital.sign_in(hospital.person(sign_in=SURGERY_NURSE))
    assert nadia.client.get("/offices/teams").status_code == 403
    assert nadia.client.post(f"{team}/turns", json={"person": SURGERY_NURSE}).status_code == 403
