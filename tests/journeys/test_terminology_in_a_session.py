"""Terminology and profiles in a walled-in session: it may open no file, and has what was loaded when it began."""

from __future__ import annotations

from typing import Any

import httpx
from journeys_cast import LOINC, end_program, observation, patient, reference, word
from running_trust import RunningTrust
from terms_cast import ILL_SYSTEM, ILLS

from cloister.cli.terminology import write_pack
from cloister.records.loading import packed


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {
        one["name"]: next(value for name, value in one.items() if name.startswith(("value", "part"))) for one in answer.json()["parameter"]
    }


def test_a_session_names_lists_and_checks_codes_and_one_that_begins_later_has_what_was_loaded_since(trust: RunningTrust) -> None:
    before = trust.program(0, label="codes-before")
    asked = {"system": ILLS, "code": "A21"}
    assert before.get("CodeSystem/$lookup", params=asked).status_code == 404
    assert told(before.get("CodeSystem/$validate-code", params={"url": "http://unitsofmeasure.org", "code": "mm[Hg]"}))["result"] is True
    listed = before.get("ValueSet/$expand", params={"url": "http://hl7.org/fhir/ValueSet/administrative-gender", "filter": "fem"}).json()
    assert [one["code"] for one in listed["expansion"]["contains"]] == ["female"]
    try:
        write_pack(trust.state / "terminology", "journey", packed([ILL_SYSTEM]))
        after = trust.program(0, label="codes-after")
        assert told(after.get("CodeSystem/$lookup", params=asked))["display"] == "Fièvre jaune urbaine"
        assert before.get("CodeSystem/$lookup", params=asked).status_code == 404
        end_program(after)
    finally:
        (trust.state / "terminology" / "journey.pack").unlink()
    end_program(before)


def test_what_claims_a_profile_is_checked_by_it_before_it_is_sealed(trust: RunningTrust) -> None:
    client = trust.program(0, label="profiles")
    who = client.post("Patient", json=patient(word())).json()
    heart = observation(reference(who), code="8867-4", value=61) | {
        "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/heartrate"]}
    }
    heart["category"] = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}]
    heart["valueQuantity"] = {"value": 61, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}
    heart["code"] = {"coding": [{"system": LOINC, "code": "8867-4"}]}
    heart.setdefault("effectiveDateTime", "2026-11-22")
    assert client.post("Observation", json=heart).status_code == 201
    heart["valueQuantity"]["code"] = "bpm"
    refused = client.post("Observation", json=heart)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["Observation.valueQuantity.code"]
    end_program(client)


def test_patients_are_found_by_a_value_set_of_their_gender(trust: RunningTrust) -> None:
    client, family = trust.program(0, label="codes-search"), word()
    client.post("Patient", json=patient(family) | {"gender": "other"}).raise_for_status()
    genders = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert client.get("Patient", params={"name": family, "gender:in": genders}).json()["total"] == 1
    assert client.get("Patient", params={"name": family, "gender:not-in": genders}).json()["total"] == 0
    assert client.get("Patient", params={"name": family, "gender:in": "urn:none"}).status_code == 400
    end_program(client)
