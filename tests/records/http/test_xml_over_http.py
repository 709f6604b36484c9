"""A client that speaks XML: every interaction, and every error, in the format that it asks for."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as Tree

import httpx
import pytest

from cloister.records.fhir.formats import chosen
from cloister.records.fhir.outcomes import NotAcceptable
from cloister.records.fhir.xml_reading import from_xml
from cloister.records.fhir.xml_writing import to_xml

XML = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
ANNE: dict[str, Any] = {"resourceType": "Patient", "name": [{"family": "Lopez", "given": ["Ève"]}], "birthDate": "1971-02-28"}


def read(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/fhir+xml; charset=utf-8", answer.text
    Tree.fromstring(answer.content)  # by another reader too
    return from_xml(answer.content)


async def test_a_resource_is_created_read_searched_updated_and_its_history_told_in_xml(client: httpx.AsyncClient) -> None:
    made = await client.post("/Patient", content=to_xml(ANNE), headers=XML)
    assert made.status_code == 201
    who = read(made)
    assert who["name"] == ANNE["name"]
    assert (await client.get(f"/Patient/{who['id']}")).json() == who
    found = read(await client.get("/Patient?family=lopez", headers=XML))
    assert [entry["resource"] for entry in found["entry"]] == [who]
    assert found["total"] == 1
    sent = await client.post("/Patient/_search", data={"family": "lopez", "_format": "xml"})
    assert read(sent)["total"] == 1
    updated = await client.put(f"/Patient/{who['id']}", content=to_xml(who | {"active": True}), headers=XML | {"If-Match": 'W/"1"'})
    assert read(updated)["active"] is True
    assert updated.headers["etag"] == 'W/"2"'
    assert read(await client.get(f"/Patient/{who['id']}/_history?_format=xml"))["total"] == 2
    assert read(await client.get("/metadata?_format=application/fhir%2Bxml"))["resourceType"] == "CapabilityStatement"


async def test_a_transaction_and_an_operation_are_taken_in_xml(client: httpx.AsyncClient) -> None:
    entry = {"resource": ANNE, "request": {"method": "POST", "url": "Patient"}}
    answer = await client.post("", content=to_xml({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}), headers=XML)
    assert read(answer)["type"] == "transaction-response"
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": ANNE | {"birthDate": "1971-02-30"}}]}
    checked = read(await client.post("/Patient/$validate", content=to_xml(parameters), headers=XML))
    assert checked["issue"][0]["expression"] == ["Patient.birthDate"]


async def test_what_is_wrong_is_said_in_xml_to_who_asked_in_xml(client: httpx.AsyncClient) -> None:
    for answer, status in (
        (await client.get("/Patient/absent", headers=XML), 404),
        (await client.post("/Patient", content=b"<Patient", headers=XML), 400),
        (await client.post("/Patient", content=b'<Patient xmlns="http://hl7.org/fhir"><nam/></Patient>', headers=XML), 400),
        (await client.get("/Pation/1", headers=XML), 404),
        (await client.put("/Patient", content=b"", headers={"Accept": "text/xml;q=0.5", "Content-Type": "text/plain"}), 400),
    ):
        assert answer.status_code == status
        assert from_xml(answer.content)["issue"][0]["details"]["text"].endswith(".")
        if b"<nam/>" in answer.request.content:
            assert "line 1, column 38" in answer.text


async def test_pretty_xml_is_indented_and_its_narrative_is_left_alone(client: httpx.AsyncClient) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p><p>b</p></div>'
    made = (await client.post("/Patient", json=ANNE | {"text": {"status": "generated", "div": div}})).json()
    text = (await client.get(f"/Patient/{made['id']}?_format=xml&_pretty=true")).text
    assert '\n  <name>\n    <family value="Lopez"/>' in text
    assert f"\n    {div}\n" in text


async def test_a_browser_draws_xml_in_a_sandbox(client: httpx.AsyncClient) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = await client.get("/metadata", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/xml; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accept", "asked", "sent_xml", "media"),
    [
        ("", None, False, "application/fhir+json"),
        ("", None, True, "application/fhir+xml"),
        ("*/*", None, True, "application/fhir+xml"),
        ("*/*", None, False, "application/fhir+json"),
        ("application/xml", None, False, "application/xml"),
        ("application/json", None, True, "application/json"),
        ("text/*", None, False, "text/json"),
        ("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", None, False, "application/fhir+json"),
        ("application/fhir+json;q=0.5, application/fhir+xml", None, False, "application/fhir+xml"),
        ("application/fhir+xml, application/fhir+json", None, False, "application/fhir+xml"),
        ("*/*, application/fhir+xml", None, False, "application/fhir+xml"),
        ("*/*;q=0.1, application/fhir+json;q=0", None, False, "application/json"),
        ("application/fhir+xml; fhirVersion=4.0", None, False, "application/fhir+xml"),
        ("application/fhir+xml; fhirVersion=3.0, application/json;q=0.1", None, False, "application/json"),
        ("text/turtle", "xml", False, "application/fhir+xml"),
        ("", "application/fhir xml", False, "application/fhir+xml"),
        ("application/fhir+xml", "json", True, "application/fhir+json"),
        ("text/xml", None, False, "text/xml"),
    ],
)
def test_the_format_is_chosen_by_weight_then_by_exactness_then_by_place(accept: str, asked: str | None, sent_xml: bool, media: str) -> None:
    assert chosen(accept, asked, sent_xml).media == media


@pytest.mark.parametrize(
    ("accept", "asked"), [("text/turtle", None), ("*/*", "html"), ("*/*;q=0", None), ("application/fhir+xml;q=x", None)]
)
def test_who_takes_neither_is_told(accept: str, asked: str | None) -> None:
    with pytest.raises(NotAcceptable):
        chosen(accept, asked, False)


async def test_a_patch_of_parameters_is_taken_in_both_formats(client: httpx.AsyncClient) -> None:
    who = (await client.post("/Patient", json=ANNE)).json()["id"]
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.birthDate"},
        {"name": "value", "valueDate": "1970-01-01"},
    ]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    in_xml = await client.patch(f"/Patient/{who}", content=to_xml(parameters), headers=XML)
    assert read(in_xml)["birthDate"] == "1970-01-01"
    parts[2]["valueDate"] = "1971-02-30"
    refused = await client.patch(f"/Patient/{who}", json=parameters, headers={"If-Match": 'W/"2"'})
    assert refused.status_code == 422
    other = await client.patch(f"/Patient/{who}", content=b"x", headers={"Content-Type": "text/plain"})
    assert other.status_code == 415
    assert other.headers["accept-patch"] == "application/json-patch+json, application/fhir+json, application/fhir+xml"
