"""Conditional writes over HTTP: http://hl7.org/fhir/R4/http.html#cond-update, #cdelete."""

from __future__ import annotations

import httpx
from records_in_memory import RecordsInMemory
from test_interactions import LOPEZ, issues, put_lopez

INS = "https://saint-roch.example/ipp|281036938803175"


async def test_a_program_updates_by_identifier_without_knowing_the_id(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    nameless = {name: value for name, value in LOPEZ.items() if name != "id"}
    answer = await client.put("/Patient", params={"identifier": INS}, json=nameless | {"gender": "other"})
    assert answer.status_code == 200
    assert answer.headers["location"] == "https://trust.example/fhir/R4/Patient/lopez/_history/2"
    made = await client.put("/Patient", params={"identifier": "urn:x|none"}, json=nameless)
    assert made.status_code == 201


async def test_a_conditional_update_minds_the_version(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    answer = await client.put("/Patient", params={"identifier": INS}, json=LOPEZ, headers={"If-Match": 'W/"7"'})
    assert answer.status_code == 412


async def test_a_conditional_delete_deletes_one_or_none_and_never_several(client: httpx.AsyncClient, records: RecordsInMemory) -> None:
    await put_lopez(client)
    await client.put("/Patient/second", json=LOPEZ | {"id": "second", "gender": "female"})
    both = await client.delete("/Patient", params={"gender": "female"})
    assert both.status_code == 412
    assert issues(both)[0]["code"] == "multiple-matches"
    assert (await client.delete("/Patient", params={"_id": "second"})).status_code == 204
    assert records.versions["Patient", "second"][-1].deleted
    assert (await client.delete("/Patient", params={"_id": "second"})).status_code == 204
    said = await client.delete("/Patient", params={"_id": "second"}, headers={"Prefer": "return=OperationOutcome"})
    assert issues(said)[0]["severity"] == "information"
