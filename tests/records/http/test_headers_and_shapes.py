"""What goes around a resource: which methods an address has, where an answer lies, how much of it is shown, in both formats."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cloister.records.fhir.xml_reading import from_xml

ANNE: dict[str, Any] = {
    "resourceType": "Patient",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Anne</div>'},
    "name": [{"family": "Lopez"}],
    "maritalStatus": {"text": "married"},
}


@pytest.fixture
async def who(client: httpx.AsyncClient) -> str:
    return str((await client.post("/Patient", json=ANNE)).json()["id"])


async def test_head_is_get_without_its_body(client: httpx.AsyncClient, who: str) -> None:
    got, head = await client.get(f"/Patient/{who}"), await client.head(f"/Patient/{who}")
    assert head.status_code == 200
    assert head.headers["etag"] == got.headers["etag"] == 'W/"1"'
    assert head.headers["content-location"].endswith(f"/Patient/{who}/_history/1")
    assert (await client.head("/Patient/absent")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/Patient/1", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("DELETE", "/Patient/1/_history/1", "GET, HEAD, OPTIONS"),
        ("DELETE", "/Patient/1/_history", "GET, HEAD, OPTIONS"),
        ("PUT", "", "GET, HEAD, POST, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    asked = await client.options(path)
    assert (asked.status_code, asked.headers["allow"]) == (204, allow)
    assert ("accept-patch" in asked.headers) is ("PATCH" in allow)
    assert (await client.options("/Unicorn/1")).status_code == 404
    assert (await client.options("/Patient/1/$fly")).status_code == 501


async def test_what_a_write_gives_back_is_said_and_where_it_lies(client: httpx.AsyncClient, who: str) -> None:
    for returns, type in (("minimal", ""), ("representation", "Patient"), ("OperationOutcome", "OperationOutcome")):
        answer = await client.put(f"/Patient/{who}", json=ANNE | {"id": who}, headers={"Prefer": f"return={returns}", "Accept": "text/xml"})
        assert answer.headers["preference-applied"] == f"return={returns}"
        assert "/_history/" in answer.headers["location"]
        assert (from_xml(answer.content)["resourceType"] if answer.content else "") == type


@pytest.mark.parametrize("path", ["/Patient/{}", "/Patient/{}/_history/1", "/Patient/{}/_history", "/Patient?_id={}"])
@pytest.mark.parametrize(
    ("shape", "there", "absent"),
    [
        ("_summary=true", "name", "maritalStatus"),
        ("_summary=text", "text", "name"),
        ("_summary=data", "maritalStatus", "text"),
        ("_elements=maritalStatus", "maritalStatus", "name"),
    ],
)
async def test_as_much_is_shown_as_was_asked_for(
    client: httpx.AsyncClient, who: str, path: str, shape: str, there: str, absent: str
) -> None:
    address = path.format(who)
    address += f"{'&' if '?' in address else '?'}{shape}"
    in_json, in_xml = await client.get(address), await client.get(f"{address}&_format=xml")
    body = in_json.json()
    assert from_xml(in_xml.content).keys() == body.keys()
    shown = body["entry"][0]["resource"] if "entry" in body else body
    assert there in shown
    assert absent not in shown
    assert shown["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_a_count_is_of_a_search(client: httpx.AsyncClient, who: str) -> None:
    assert (await client.get(f"/Patient/{who}?_summary=count")).status_code == 400
    counted = await client.get("/Patient?_summary=count&_format=xml")
    assert from_xml(counted.content)["total"] == 1
