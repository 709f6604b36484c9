"""Bad input gets a clear answer, always as an OperationOutcome, and changes nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_in_memory import RecordsInMemory

from cloister.records.fhir import exchange

JSON = {"Content-Type": "application/fhir+json"}
PATIENT = b'{"resourceType":"Patient"}'


def first(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome", body
    issue: dict[str, Any] = body["issue"][0]
    return issue


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no body"),
        (b'{\n  "resourceType": "Patient",\n}', "line 2, column 28"),
        (b'{"resourceType": "Patient"', "line 1"),
        (b'{"a": NaN}', "column 7"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": 1e999}', "not JSON"),
        (b'{"a": 0.' + b"1" * 100 + b"}", "out of range"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "not a JSON object"),
        (b'"Patient"', "not a JSON object"),
    ],
)
async def test_broken_json_is_located(client: httpx.AsyncClient, body: bytes, said: str) -> None:
    answer = await client.post("/Patient", content=body, headers=JSON)
    assert answer.status_code == 400
    assert said in first(answer)["details"]["text"]
    assert first(answer)["diagnostics"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/Patient", b'{"resourceType":"Observation"}', 400),
        ("POST", "/Patient", b"{}", 400),
        ("PUT", "/Patient/1", b'{"resourceType":"Patient","id":"2"}', 400),
        ("PUT", "/Patient/1", PATIENT, 400),
        ("POST", "/Patient", b'{"resourceType":"Patient","gender":"x"}', 422),
        ("POST", "/Unicorn", b'{"resourceType":"Unicorn"}', 404),
        ("GET", "/patient", b"", 404),
        ("GET", "/Patient/1/_history/x", b"", 404),
        ("GET", "/Patient?_count=many", b"", 400),
        ("GET", "/Patient?_query=name", b"", 501),
        ("GET", "/Patient?_filter=name%20is%20x", b"", 400),
        ("GET", "/Patient?gender:fuzzy=x", b"", 501),
        ("GET", "/Patient?birthdate=2021-02-30", b"", 400),
        ("GET", "/Patient?name=%ff", b"", 400),
        ("POST", "", b'{"resourceType":"Patient"}', 400),
        ("POST", "", b'{"resourceType":"Bundle","type":"collection"}', 400),
        ("POST", "", b'{"resourceType":"Bundle","type":"batch","entry":{}}', 400),
        ("GET", "", b"", 400),
        ("GET", "/_history?_since=yesterday", b"", 400),
        ("GET", "/_history?_page=x&_count=2", b"", 400),
        ("GET", "/Patient/_history?_count=many", b"", 400),
        ("GET", "/Patient/_history?_sort=x", b"", 501),
        ("GET", "/Unicorn/_history", b"", 404),
        ("POST", "/_history", b"", 405),
        ("PUT", "/$export", b"{}", 405),
        ("PATCH", "/Patient/1", b"[]", 400),
        ("PATCH", "/Patient", b"[]", 400),
        ("PUT", "/Patient", PATIENT, 400),
        ("PUT", "/Patient?_pretty=true", PATIENT, 400),
        ("PUT", "/Patient?favourite=1", PATIENT, 400),
        ("PUT", "/Patient?identifier=1", b"{}", 400),
        ("DELETE", "/Patient", b"", 400),
        ("DELETE", "/Patient?favourite=1", b"", 400),
        ("GET", "/Patient/1/$purge", b"", 501),
        ("GET", "/Practitioner/1/$everything", b"", 501),
        ("GET", "/Patient/1/$everything?_type=Unicorn", b"", 400),
        ("GET", "/Patient/1/$everything?_since=yesterday", b"", 400),
        ("GET", "/Patient/1/$everything?start=2020&start=2021", b"", 400),
        ("GET", "/Patient/1/$everything?_count=0", b"", 400),
        ("GET", "/Patient/1/$everything?favourite=1", b"", 501),
        ("GET", "/Encounter/1/$everything?start=2020", b"", 501),
        ("GET", "/Patient/1/Unicorn", b"", 405),
        ("GET", "/Practitioner/1/Observation", b"", 501),
        ("GET", "/Patient/1/Location", b"", 501),
        ("GET", "/Observation/$lastn?code=x", b"", 400),
        ("GET", "/Observation/$lastn?patient=1&max=many", b"", 400),
        ("GET", "/Condition/$lastn?patient=1", b"", 501),
        ("GET", "/Observation/1/$document", b"", 501),
        ("GET", "/Composition/1/$document?persist=true", b"", 501),
        ("POST", "/Patient/$validate?mode=paint", PATIENT, 400),
        ("POST", "/Patient/$validate?mode=update", PATIENT, 400),
        ("POST", "/Patient/$validate", b'{"resourceType":"Observation"}', 400),
        ("POST", "/Patient/$validate", b'{"resourceType":"Parameters","parameter":[{}]}', 400),
        ("POST", "/Patient/$validate", b'{"resourceType":"Parameters"}', 400),
        ("POST", "/Patient/2/$validate", b'{"resourceType":"Patient","id":"1"}', 400),
        ("POST", "/Patient/1", PATIENT, 405),
        ("GET", "/a/b/c/d/e/f", b"", 404),
    ],
)
async def test_what_cannot_be_done_is_said(client: httpx.AsyncClient, method: str, path: str, body: bytes, status: int) -> None:
    answer = await client.request(method, path, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert first(answer)["details"]["text"].endswith(".")


async def test_a_body_that_is_no_json_by_its_own_word(client: httpx.AsyncClient) -> None:
    assert (await client.post("/Patient", content=PATIENT, headers={"Content-Type": "application/fhir+turtle"})).status_code == 415
    unsaid = await client.post("/Patient", content=PATIENT)
    assert (unsaid.status_code, unsaid.headers["accept"]) == (415, "application/fhir+json, application/fhir+xml")
    assert (await client.post("/Patient", content=PATIENT, headers=JSON | {"Content-Encoding": "br"})).status_code == 415
    assert (await client.post("/Patient/_search", content=PATIENT, headers=JSON)).status_code == 415


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_BYTES_MAX", 1024 * 1024)
    answer = await client.post("/Patient", content=b" " * (1024 * 1024 + 1), headers=JSON)
    assert answer.status_code == 413
    assert "1 MiB" in first(answer)["details"]["text"]

    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 65536

    assert (await client.post("/Patient", content=chunks(), headers=JSON)).status_code == 413


async def test_every_fault_of_a_resource_is_listed_and_no_value_is_repeated(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    body = b'{"resourceType":"Patient","gender":"Secretname","birthDate":"31.12.1999","favourite":"Secretname","contact":[{}]}'
    answer = await client.post("/Patient", content=body, headers=JSON)
    assert answer.status_code == 422
    found = {issue["expression"][0]: issue["details"]["coding"][0]["code"] for issue in answer.json()["issue"]}
    assert found == {"Patient.gender": "binding", "Patient.birthDate": "form", "Patient": "unknown-element", "Patient.contact[0]": "ele-1"}
    assert "Secretname" not in answer.text
    assert not records.versions


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=80))
async def test_no_body_breaks_the_endpoint(client: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/Patient", ""):
        answer = await client.post(path, content=body, headers=JSON)
        assert 400 <= answer.status_code < 500
        assert first(answer)["severity"] == "error"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=60))
async def test_no_query_breaks_the_endpoint(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get("/Observation", params=dict.fromkeys(["code", "date", "value-quantity", "_sort", "subject"], query))
    assert answer.status_code in (200, 400, 501)
