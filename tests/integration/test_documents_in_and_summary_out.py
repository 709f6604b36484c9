"""CDA documents into the record and the International Patient Summary out of it, over a real store gate."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from documents import PDF, ccda, french_letter, problem
from store_rig import Session

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.integration.cda.taking import Kept, take_document
from cloister.integration.summary.making import make_summary
from cloister.records import parse
from cloister.records.fhir.text import decode, encode
from cloister.records.validation import check

BASE = "https://trust.example/fhir/R4"


async def of_patient(session: Session, kept: Kept, type: str) -> list[dict[str, Any]]:
    page = await session.records.search(parse(type, [("patient", kept.patient)], strict=True))
    return [dict(hit.stored.resource or {}) for hit in page.hits]


async def test_a_document_is_kept_as_it_came_and_understood_as_far_as_its_entries_go(gateway: Session, vasseur: Session) -> None:
    body = ccda("81001", "D81001")
    kept = await take_document(gateway.records, body)
    (document,) = await of_patient(vasseur, kept, "DocumentReference")
    assert (document["author"][0]["display"], document["custodian"]["display"]) == ("Dr Jeanne Roy", "Clinique du Parc")
    binary = (await vasseur.records.many([document["content"][0]["attachment"]["url"]])).popitem()[1].resource or {}
    assert base64.b64decode(binary["data"]) == body
    found = {
        type: (await of_patient(vasseur, kept, type))[0]
        for type in ("Condition", "AllergyIntolerance", "MedicationStatement", "Observation", "Immunization")
    }
    assert found["Condition"]["code"]["coding"][0]["code"] == "38341003"
    assert found["AllergyIntolerance"]["reaction"][0]["manifestation"][0]["coding"][0]["display"] == "Hives"
    assert found["MedicationStatement"]["dosage"][0]["doseAndRate"][0]["doseQuantity"]["code"] == "mg"
    assert found["Observation"]["referenceRange"][0]["high"]["value"] == 145
    assert [line["section"] for line in kept.report] == ["Problems", "Social history"]
    (origin,) = await of_patient(vasseur, kept, "Provenance")
    assert {"reference": kept.reference} in origin["target"]


async def test_the_same_document_again_changes_nothing_and_a_new_version_takes_the_place_of_the_old(gateway: Session) -> None:
    first = await take_document(
        gateway.records,
        ccda("81002", "D1-81002", set="S81002", problems=problem("PA", "38341003", "Hypertension") + problem("PB", "195967001", "Asthma")),
    )
    again = await take_document(
        gateway.records,
        ccda("81002", "D1-81002", set="S81002", problems=problem("PA", "38341003", "Hypertension") + problem("PB", "195967001", "Asthma")),
    )
    assert (again.again, again.reference) == (True, first.reference)
    second = await take_document(
        gateway.records,
        ccda("81002", "D2-81002", set="S81002", version=2, replaces="D1-81002", problems=problem("PA", "38341003", "Hypertension")),
    )
    documents = {f"DocumentReference/{one['id']}": one for one in await of_patient(gateway, second, "DocumentReference")}
    assert (documents[first.reference]["status"], documents[second.reference]["status"]) == ("superseded", "current")
    assert documents[second.reference]["relatesTo"] == [{"code": "replaces", "target": {"reference": first.reference}}]
    assert [one["code"]["coding"][0]["code"] for one in await of_patient(gateway, second, "Condition")] == ["38341003"]
    with pytest.raises(Conflict):
        await take_document(gateway.records, ccda("81002", "D0-81002", set="S81002", version=1))


async def test_a_french_letter_of_level_one_is_kept_with_its_pdf_and_without_a_national_number(gateway: Session) -> None:
    kept = await take_document(gateway.records, french_letter("81003", "81003"))
    (document,) = await of_patient(gateway, kept, "DocumentReference")
    assert [one["attachment"]["contentType"] for one in document["content"]] == ["text/xml", "application/pdf"]
    pdf = (await gateway.records.many([document["content"][1]["attachment"]["url"]])).popitem()[1].resource or {}
    assert base64.b64decode(pdf["data"]) == PDF
    patient = (await gateway.records.many([kept.patient]))[kept.patient].resource or {}
    assert (patient["name"][0]["family"], [one["system"] for one in patient["identifier"]]) == ("BŒUF", ["urn:oid:1.2.250.1.999.1"])


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><ClinicalDocument xmlns='urn:hl7-org:v3'>&a;</ClinicalDocument>",
        b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>",
        b"<html/>",
        b"<a>" * 5000,
        b"",
    ],
)
async def test_what_is_no_document_is_refused_and_nothing_is_kept(gateway: Session, body: bytes) -> None:
    with pytest.raises(Invalid):
        await take_document(gateway.records, body)


async def test_a_document_about_nobody_here_can_be_refused(gateway: Session) -> None:
    with pytest.raises(NotFound):
        await take_document(gateway.records, ccda("81999", "D81999"), creates=False)


async def test_the_summary_is_whole_valid_and_in_the_readers_language(gateway: Session, vasseur: Session) -> None:
    kept = await take_document(gateway.records, ccda("81010", "D81010"))
    for language, title in (("en", "Allergies and intolerances"), ("fr", "Allergies et intolérances")):
        made = decode(encode(await make_summary(vasseur.records, kept.patient.partition("/")[2], base=BASE, language=language)))
        check(made)
        composition = made["entry"][0]["resource"]
        assert [one["code"]["coding"][0]["code"] for one in composition["section"]] == [
            "11450-4",
            "48765-2",
            "10160-0",
            "11369-6",
            "30954-2",
        ]
        assert composition["section"][1]["title"] == title
        assert "Penicillin G" in composition["section"][1]["text"]["div"]
        whole = {entry["fullUrl"].removeprefix(f"{BASE}/") for entry in made["entry"]}
        assert set(_references(made)) <= whole


async def test_where_nothing_is_recorded_the_summary_says_no_information_and_not_none_known(gateway: Session, vasseur: Session) -> None:
    kept = await take_document(gateway.records, french_letter("81011", "81011"))
    made = decode(encode(await make_summary(vasseur.records, kept.patient.partition("/")[2], base=BASE, language="en")))
    check(made)
    codes = [entry["resource"].get("code", entry["resource"].get("medicationCodeableConcept", {})) for entry in made["entry"]]
    assert {"no-problem-info", "no-allergy-info", "no-medication-info"} <= {one["coding"][0]["code"] for one in codes if "coding" in one}


async def test_whoever_cannot_open_the_patient_gets_no_summary(gateway: Session, delorme: Session) -> None:
    kept = await take_document(gateway.records, ccda("81012", "D81012"))
    with pytest.raises(NotFound):
        await make_summary(delorme.records, kept.patient.partition("/")[2], base=BASE, language="en")


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [one for part in value.values() for one in _references(part)]
    return [one for part in value for one in _references(part)] if isinstance(value, list) else []
