"""Binary as a resource and as its bytes: http://hl7.org/fhir/R4/binary.html#rest."""

from __future__ import annotations

import base64

import httpx
import pytest
from test_interactions import issues

PDF = b"%PDF-1.7\n\x00\xff bytes"
OF = {"X-Security-Context": "Patient/lopez"}


async def sent(client: httpx.AsyncClient, content: bytes = PDF, media: str = "application/pdf") -> str:
    answer = await client.post("/Binary", content=content, headers=OF | {"Content-Type": media})
    assert answer.status_code == 201, answer.text
    assert answer.json()["securityContext"] == {"reference": "Patient/lopez"}
    return f"/Binary/{answer.json()['id']}"


async def test_bytes_come_back_as_they_were_sent(client: httpx.AsyncClient) -> None:
    path = await sent(client)
    for accept in ("application/pdf", "application/*", "*/*", "image/png, application/pdf;q=0.5"):
        answer = await client.get(path, headers={"Accept": accept})
        assert answer.status_code == 200
        assert (answer.content, answer.headers["content-type"], answer.headers["etag"]) == (PDF, "application/pdf", 'W/"1"')
    for headers in ({"Accept": "application/fhir+json"}, {"Accept": "application/json, */*"}):
        body = (await client.get(path, headers=headers)).json()
        assert base64.b64decode(body["data"]) == PDF
    assert (await client.get(f"{path}?_format=json", headers={"Accept": "*/*"})).json()["resourceType"] == "Binary"
    assert (await client.get(path, headers={"Accept": "*/*", "If-None-Match": 'W/"1"'})).status_code == 304


async def test_a_page_that_was_sent_is_never_shown_as_one_of_ours(client: httpx.AsyncClient) -> None:
    path = await sent(client, b"<script>alert(1)</script>", "text/html; charset=utf-8")
    answer = await client.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_bytes_are_replaced_and_stay_in_the_same_record(client: httpx.AsyncClient) -> None:
    path = await sent(client)
    answer = await client.put(path, content=b"new", headers={"Content-Type": "text/plain", "If-Match": 'W/"1"'})
    assert answer.status_code == 200, answer.text
    assert answer.json()["securityContext"] == {"reference": "Patient/lopez"}
    assert (await client.get(path, headers={"Accept": "text/plain"})).content == b"new"
    late = await client.put(path, content=b"late", headers={"Content-Type": "text/plain", "If-Match": 'W/"1"'})
    assert late.status_code == 412


async def test_a_binary_as_a_resource_is_written_as_before(client: httpx.AsyncClient) -> None:
    made = await client.post("/Binary", json={"resourceType": "Binary", "contentType": "text/plain", "data": "aGk="})
    assert made.status_code == 201
    path = f"/Binary/{made.json()['id']}"
    assert (await client.get(path, headers={"Accept": "text/plain"})).content == b"hi"
    again = await client.put(path, json={**made.json(), "data": "aG8="})
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/pdf"}, PDF, 400),
        ({"Content-Type": "application/pdf", "X-Security-Context": "Device/1"}, PDF, 400),
        ({"Content-Type": "application/pdf", **OF}, b"", 400),
        ({"Content-Type": "pdf", **OF}, PDF, 415),
        ({"Content-Type": "application/fhir+turtle", **OF}, b"<Binary/>", 415),
        (OF, PDF, 415),
    ],
)
async def test_what_cannot_be_taken_is_said(client: httpx.AsyncClient, headers: dict[str, str], content: bytes, status: int) -> None:
    answer = await client.post("/Binary", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert issues(answer)[0]["diagnostics"]


async def test_another_media_type_than_the_contents_is_refused_with_what_it_is(client: httpx.AsyncClient) -> None:
    path = await sent(client)
    answer = await client.get(path, headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "application/pdf" in issues(answer)[0]["diagnostics"]
    sealed, absent = [await client.get(f"/Binary/{id}", headers={"Accept": "*/*"}) for id in ("sealed-1", "absent-1")]
    assert (sealed.status_code, sealed.text.replace("sealed-1", "X")) == (404, absent.text.replace("absent-1", "X"))
