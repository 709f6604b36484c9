"""Definitions that everybody here validates and expands with are read and found like resources, beside the trust's own."""

from __future__ import annotations

import uuid
from typing import Any

from over_http import client_of, get, pages, post, references
from store_rig import PROGRAM, Rig, Session

GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"


def value_set(id: str = "", **more: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "status": "active", "name": "Own", **({"id": id} if id else {}), **more}


async def test_a_definition_is_read_by_its_id_and_found_by_its_address(program: Session) -> None:
    read = await get(program, "/StructureDefinition/Patient")
    assert (read["url"], read["meta"]["versionId"]) == ("http://hl7.org/fhir/StructureDefinition/Patient", "1")
    assert read["snapshot"]["element"] or read["differential"]["element"]
    assert await get(program, "/StructureDefinition/Patient/_history/1") == read
    found = await get(program, f"/ValueSet?url={GENDER}")
    assert found["total"] == 1
    assert references(found) == ["ValueSet/administrative-gender"]
    assert (await get(program, f"/ValueSet?url={GENDER}&version=4.0.1&status=active"))["total"] == 1
    assert (await get(program, f"/ValueSet?url={GENDER}&version=3.0.0"))["total"] == 0
    codes = await get(program, "/CodeSystem/administrative-gender")
    assert {one["code"] for one in codes["concept"]} == {"male", "female", "other", "unknown"}
    assert (await get(program, "/ConceptMap?url=http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v3&_summary=count"))["total"] == 1
    await get(program, "/ValueSet/no-such-value-set", 404)
    await get(program, "/ValueSet/administrative-gender/_history/2", 404)


async def test_what_is_read_is_valid_and_is_served_in_xml_and_by_parts(program: Session) -> None:
    for place in ("ValueSet/administrative-gender", "CodeSystem/v3-ActCode", "ConceptMap/cm-administrative-gender-v3"):
        found = await post(program, f"/{place.partition('/')[0]}/$validate", await get(program, f"/{place}"))
        assert not [one for one in found["issue"] if one["severity"] == "error"], place
    cut = await get(program, "/ValueSet/administrative-gender?_elements=url")
    assert cut["url"] == GENDER
    assert "compose" not in cut
    async with client_of(program) as client:
        answer = await client.get("/ValueSet/administrative-gender", headers={"accept": "application/fhir+xml"})
        assert answer.status_code == 200
        assert f'<url value="{GENDER}"/>' in answer.text
        again = await client.get("/ValueSet/administrative-gender", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


async def test_they_are_counted_sorted_and_paged_with_the_trusts_own(program: Session) -> None:
    mark = uuid.uuid4().hex
    own = (await program.records.create(value_set(name=f"Gender{mark}", url=f"urn:own:{mark}", title="administrative own"))).stored
    count = (await get(program, "/ValueSet?name:contains=gender&_summary=count"))["total"]
    listed = [one for page in await pages(program, "/ValueSet?name:contains=gender&_sort=name&_count=2") for one in references(page)]
    assert len(listed) == len(set(listed)) == count
    assert {own.reference, "ValueSet/administrative-gender"} <= set(listed)
    assert await get(program, f"/ValueSet?url=urn:own:{mark}&_summary=count") | {"link": []} == {
        "resourceType": "Bundle", "type": "searchset", "total": 1, "link": [],
    }  # fmt: skip


async def test_the_trusts_own_goes_before_a_published_one_with_its_id(trust: Rig, program: Session) -> None:
    id = "yesnodontknow"
    assert (await get(program, f"/ValueSet/{id}"))["url"] == f"http://hl7.org/fhir/ValueSet/{id}"
    await program.records.update(value_set(id, url="urn:own:yes"))
    assert (await get(program, f"/ValueSet/{id}"))["url"] == "urn:own:yes"
    assert (await get(program, f"/ValueSet?url=http://hl7.org/fhir/ValueSet/{id}"))["total"] == 0
    assert references(await get(program, f"/ValueSet?_id={id}")) == [f"ValueSet/{id}"]
    await program.records.delete("ValueSet", id)
    await get(program, f"/ValueSet/{id}", 410)


async def test_a_reading_of_a_definition_is_on_record(trust: Rig) -> None:
    session = await trust.session(PROGRAM)
    database = await trust.connect()
    before = await database.fetchval("select count(*) from audit.event")
    await get(session, "/StructureDefinition/Observation")
    assert await database.fetchval("select count(*) from audit.event") == before + 1
    await database.close()
    session.close()
