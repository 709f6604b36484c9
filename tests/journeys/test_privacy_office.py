"""The privacy officer finds who opened whose record; nobody else does, and IT sees only that something was done. docs/audit.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from journeys_cast import FHIR, SURGERY_NURSE, Administrator, Company, created, observation, patient, reference, word
from running_trust import RunningTrust
from test_audit_comes_first import cloister

from cloister.records.validation import check


@pytest.fixture(scope="module")
def somebody(garrison: Company) -> dict[str, Any]:
    return created(garrison.program(), patient(word()), **{"cloister-zone": "saint-roch-surgery"})


@pytest.fixture(scope="module")
def agnes(garrison: Company, besieged: RunningTrust) -> httpx.Client:
    """The privacy officer, signed in."""
    return garrison.person(besieged.person(role="privacy-officer")["sign_in"])


def asked(agnes: httpx.Client, **filters: str) -> list[dict[str, Any]]:
    answer = agnes.get("/offices/privacy", params=filters, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


def test_who_opened_mrs_x_s_record_and_what_did_nadia_open(
    garrison: Company, agnes: httpx.Client, somebody: dict[str, Any], intruder: Administrator
) -> None:
    nadia = garrison.person(SURGERY_NURSE)
    me = intruder.one("select id from trust.person where sign_in = $1", SURGERY_NURSE)
    made = nadia.post(f"{FHIR}/Observation", json=observation(reference(somebody))).json()
    nadia.get(f"{FHIR}/{reference(made)}").raise_for_status()
    nadia.get(f"/patients/{somebody['id']}").raise_for_status()
    of_patient = asked(agnes, patient=somebody["id"])
    mine = [one for one in of_patient if one["actor"] == me]
    assert {"create", "read"} <= {one["action"] for one in mine}
    assert reference(made) in {one["object"] for one in mine}, "also where only the observation was named"
    of_person = asked(agnes, person=me)
    assert {one["actor"] for one in of_person} == {me}
    assert {one["seq"] for one in mine} <= {one["seq"] for one in of_person}
    assert {one["action"] for one in asked(agnes, person=me, action="read", outcome="success")} == {"read"}
    assert asked(agnes, patient=somebody["id"], until="2020-01-01", since="2019-01-01") == []
    search = [one for one in asked(agnes, action="audit-search") if one["actor"] != me]
    assert search, "whoever watches is on record too"
    page = agnes.get("/offices/privacy", params={"patient": somebody["id"]})
    assert page.status_code == 200
    assert reference(made) in page.text


def test_nobody_else_looks_into_the_log(garrison: Company, besieged: RunningTrust, somebody: dict[str, Any]) -> None:
    for role in ("doctor", "access-officer", "certificate-officer", "it-operator"):
        client = garrison.person(besieged.person(role=role)["sign_in"])
        assert client.get("/offices/privacy").status_code == 403, role
        assert client.get("/offices/privacy/report", params={"patient": somebody["id"]}).status_code == 403, role


def test_it_sees_that_something_was_done_and_not_by_whom_or_to_whom(
    besieged: RunningTrust, intruder: Administrator, somebody: dict[str, Any]
) -> None:
    shown = cloister(besieged, "audit", "tail", "-n", "1000")
    assert shown.returncode == 0
    assert "sealed for the privacy office" in shown.stderr
    people = {str(row["id"]) for row in intruder.rows("select id from trust.person")}
    rows = str(intruder.rows("select seq, source, category, named, actor, object, patient from audit.event"))
    stored = b"".join(bytes(row["sealed"]) for row in intruder.rows("select sealed from audit.event"))
    for secret in (*people, somebody["id"]):
        assert secret not in shown.stdout
        assert secret not in rows
        assert secret.encode() not in stored


def test_a_patient_gets_a_report_of_who_opened_the_record(agnes: httpx.Client, somebody: dict[str, Any]) -> None:
    for language, title in (("fr", "Qui a ouvert ce dossier"), ("en", "Who opened this record")):
        pdf = agnes.get(
            "/offices/privacy/report",
            params={"patient": somebody["id"]},
            headers={"cookie": f"{agnes.headers['cookie']}; language={language}"},
        )
        assert pdf.headers["content-type"] == "application/pdf"
        assert pdf.content.startswith(b"%PDF-1.4")
        assert title.encode() in pdf.content
    fhir = agnes.get("/offices/privacy/report", params={"patient": somebody["id"], "as": "fhir"})
    assert fhir.headers["content-type"] == "application/fhir+json"
    bundle = json.loads(fhir.text)
    check(bundle)
    events = [one["resource"] for one in bundle["entry"]]
    assert {one["resourceType"] for one in events} == {"AuditEvent"}
    assert any("PatientRead" in one.get("meta", {}).get("profile", [""])[0] for one in events)
    assert all(one["entity"][0]["what"]["reference"] == f"Patient/{somebody['id']}" for one in events)
    assert agnes.get("/offices/privacy/report").status_code == 400
    assert agnes.get("/offices/privacy", params={"patient": "Mrs X"}).status_code == 400


def test_the_log_s_day_is_today(agnes: httpx.Client) -> None:
    newest = asked(agnes)[0]
    assert abs((datetime.fromisoformat(newest["at"].replace("Z", "+00:00")) - datetime.now(UTC)).total_seconds()) < 3600
