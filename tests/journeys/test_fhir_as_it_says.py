"""What the FHIR endpoint says of itself, tried: every interaction, search parameter and operation that its statement claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from journeys_cast import FHIR, end_program, observation, patient, word
from running_trust import RunningTrust

from cloister.records.fhir.xml_reading import from_xml
from cloister.records.fhir.xml_writing import to_xml

ABSENT: Final = "01a203ad-cebe-7483-8e57-000000000000"
AT_ONCE: Final = 80
VALUES: Final = {"date": "2026", "number": "1", "quantity": "1", "reference": "1", "uri": "x", "token": "x", "string": "x", "composite": ""}
SPECIAL: Final = {"_has": "", "_list": "x", "_filter": "_id eq x", "near": "48.8|2.3"}
XML: Final = {"accept": "application/fhir+xml", "content-type": "application/fhir+xml"}


@pytest.fixture(scope="module")
def program(trust: RunningTrust) -> Iterator[httpx.Client]:
    client = trust.program(0, label="fhir-as-it-says")
    yield client
    end_program(client)


@pytest.fixture(scope="module")
def statement(trust: RunningTrust) -> dict[str, Any]:
    with trust.client() as nobody:
        return dict(nobody.get(f"{FHIR}/metadata").json())


def test_every_interaction_that_a_type_claims_is_answered(program: httpx.Client, statement: dict[str, Any]) -> None:
    """With what is absent or wrong, so that the answer is one of the interaction's own and nothing is stored."""
    (rest,) = statement["rest"]
    for one in rest["resource"]:
        base, type = f"/{one['type']}", one["type"]
        condition = f"{base}?_id={ABSENT}"
        other = {"resourceType": "Basic" if type == "Patient" else "Patient"}
        patch = {"content-type": "application/json-patch+json"}
        tried: dict[str, tuple[httpx.Response, int]] = {
            "read": (program.get(f"{base}/{ABSENT}"), 404),
            "vread": (program.get(f"{base}/{ABSENT}/_history/1"), 404),
            "history-instance": (program.get(f"{base}/{ABSENT}/_history"), 404),
            "update": (program.put(f"{base}/{ABSENT}", json=other), 400),
            "create": (program.post(base, json=other), 400),
            "patch": (program.patch(f"{base}/{ABSENT}", content=b"[]", headers=patch), 404),
            "delete": (program.delete(condition), 204),
        }
        assert one["conditionalDelete"] == "single"
        claimed = {interaction["code"] for interaction in one["interaction"]}
        assert claimed - tried.keys() == {"history-type", "search-type"}
        for code, (answer, status) in tried.items():
            assert code in claimed
            assert answer.status_code == status, (type, code, answer.status_code, answer.text)
        if one["conditionalUpdate"]:
            assert program.put(condition, json=other).status_code == 400
        allowed = program.options(f"{base}/{ABSENT}").headers["allow"]
        assert allowed == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"


def test_every_search_parameter_that_is_claimed_is_understood(program: httpx.Client, statement: dict[str, Any]) -> None:
    for one in statement["rest"][0]["resource"]:
        type = one["type"]
        pairs = [(p["name"], VALUES.get(p["type"], SPECIAL.get(p["name"], "x"))) for p in one["searchParam"]]
        pairs = [(name, value) for name, value in pairs if value and name != "_id"]
        assert len({name for name, _ in pairs}) == len(pairs)
        for start in range(0, len(pairs), AT_ONCE):
            asked = {"_id": ABSENT, "_summary": "count", **dict(pairs[start : start + AT_ONCE])}
            answer = program.get(f"/{type}", params=asked, headers={"prefer": "handling=strict"})
            assert answer.status_code == 200, (type, answer.text)
            assert answer.json()["total"] == 0
        includes = [("_include", text) for text in one.get("searchInclude", [])[:30]]
        includes += [("_revinclude", text) for text in one.get("searchRevInclude", [])[:30]]
        answer = program.get(f"/{type}", params=[("_id", ABSENT), *includes], headers={"prefer": "handling=strict"})
        assert answer.status_code == 200, (type, answer.text)


def test_every_operation_and_every_interaction_of_the_system_is_answered(program: httpx.Client, statement: dict[str, Any]) -> None:
    (rest,) = statement["rest"]
    for one in rest["resource"]:
        for operation in one.get("operation", []):
            name, type = operation["name"], one["type"]
            answers = [program.get(f"/{type}/{ABSENT}/${name}"), program.post(f"/{type}/${name}", json={})]
            assert any(answer.status_code not in (405, 501) for answer in answers), (type, name)
            assert operation["definition"].startswith("http")
    for operation in rest["operation"]:
        if operation["name"] == "closure":  # it changes a table, so it is sent
            assert program.get("/$closure").status_code == 405
            assert program.post("/$closure", json={}).status_code == 400
            continue
        assert program.get(f"/${operation['name']}").status_code == 400  # of bulk data: not without 'Prefer: respond-async'
    for code in (interaction["code"] for interaction in rest["interaction"]):
        match code:
            case "transaction" | "batch":
                answer = program.post("", json={"resourceType": "Bundle", "type": code})
                assert answer.json()["type"] == f"{code}-response"
            case "search-system":
                asked = {"_type": "Patient,Encounter", "_lastUpdated": "ge2126"}
                for answer in (program.get("", params=asked), program.get("/", params=asked), program.post("/_search", data=asked)):
                    assert (answer.json()["type"], answer.json()["total"]) == ("searchset", 0)
            case "history-system":
                assert program.get("/_history", params={"_count": 1, "_since": "2126"}).json()["total"] == 0
            case _:
                pytest.fail(f"{code} is claimed and not tried")
    for text in statement["patchFormat"]:
        answer = program.patch(f"/Patient/{ABSENT}", content=b"x", headers={"content-type": text})
        assert answer.status_code == 400, (text, answer.text)
    for text in statement["format"]:
        answer = program.get("/Patient", params={"_format": text, "_id": ABSENT})
        assert ("xml" in text) is answer.headers["content-type"].startswith("application/fhir+xml")


def test_a_program_that_speaks_xml_writes_and_reads_a_record(program: httpx.Client) -> None:
    family = word()
    made = program.post("/Patient", content=to_xml(patient(family)), headers=XML)
    assert made.status_code == 201
    who = from_xml(made.content)
    assert who["name"][0]["family"] == family
    weighed = program.post("/Observation", content=to_xml(observation(f"Patient/{who['id']}")), headers=XML)
    assert weighed.status_code == 201
    asked = {"patient": who["id"], "_include": "Observation:subject"}
    found = from_xml(program.get("/Observation", params=asked, headers=XML).content)
    assert [entry["resource"]["resourceType"] for entry in found["entry"]] == ["Observation", "Patient"]
    everything = from_xml(program.get(f"/Patient/{who['id']}/$everything?_format=xml").content)
    assert everything["total"] == 2
    assert from_xml(program.get(f"/Patient/{ABSENT}", headers=XML).content)["issue"][0]["code"] == "not-found"


def test_nobody_yet_is_told_the_same_in_both_formats_and_on_a_page(trust: RunningTrust, statement: dict[str, Any]) -> None:
    with trust.client() as nobody:
        in_xml = nobody.get(f"{FHIR}/metadata", headers={"accept": "application/fhir+xml"})
        assert from_xml(in_xml.content) == statement
        terms = nobody.get(f"{FHIR}/metadata", params={"mode": "terminology", "_format": "xml"})
        assert from_xml(terms.content)["resourceType"] == "TerminologyCapabilities"
        document = nobody.get(f"{FHIR}/openapi.json").json()
        assert document["openapi"].startswith("3.1")
        assert document["servers"] == [{"url": f"{trust.base}{FHIR}"}]
        assert "patch" in document["paths"]["/{type}/{id}"]
        page, pages = (nobody.get(f"{FHIR}/openapi", headers={"accept-language": one}).text for one in ("en", "fr"))
        assert "The whole record" in page or "A whole record" in page
        assert "Un dossier entier" in pages
