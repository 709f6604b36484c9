"""The definitions of FHIR R4 and of loaded packages, read and found beside what the trust itself stored; nobody changes them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from audit_rig import opened_log
from over_http import client_of, get, pages, references
from store_rig import COLIN, Rig, Session
from terms_cast import ILL_SYSTEM, ILLS, SETS, filtered, value_set

from cloister.cli.terminology import write_pack
from cloister.records import beside
from cloister.records.fhir.text import decode
from cloister.records.fhir.xml_reading import from_xml
from cloister.records.loading import packed, refresh
from cloister.records.terminology import shelf, wholes
from cloister.records.terminology.catalogue import TYPES, Published
from cloister.records.validation import issues_of

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
MADE = datetime(2026, 11, 30, 12, tzinfo=UTC)


async def asked(session: Session, method: str, path: str, **how: Any) -> httpx.Response:
    async with client_of(session) as client:
        return await client.request(method, path, **how)


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[None]:
    """A package that the trust has loaded: a code system, and one version of a value set after the other."""
    older, newer = (value_set("fevers", filtered("concept", "is-a", "A2"), version=version) for version in ("1.9.0", "1.10.0"))
    nameless = value_set("x", {"system": ILLS}) | {"url": f"{SETS}nameless"}
    del nameless["id"]
    for name, found in (("a-older", [ILL_SYSTEM, older]), ("b-newer", [newer, nameless])):
        write_pack(tmp_path, name, packed(found, found, MADE))
    refresh(tmp_path)
    yield
    refresh(None)


async def test_a_definition_of_r4_is_read_in_json_and_in_xml_with_a_stable_version(adele: Session) -> None:
    answer = await asked(adele, "GET", "/StructureDefinition/Patient")
    body = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')
    assert answer.headers["last-modified"] == "Thu, 31 Oct 2019 22:29:23 GMT"
    assert answer.headers["content-location"].endswith("/StructureDefinition/Patient/_history/1")
    assert (body["url"], body["version"]) == ("http://hl7.org/fhir/StructureDefinition/Patient", "4.0.1")
    assert "Patient.birthDate" in [one["path"] for one in body["snapshot"]["element"]]
    assert issues_of(body) == []
    xml = await asked(adele, "GET", "/StructureDefinition/Patient", headers={"accept": "application/fhir+xml"})
    assert from_xml(xml.content) == decode(answer.content)
    unchanged = await asked(adele, "GET", "/StructureDefinition/Patient", headers={"if-none-match": 'W/"1"'})
    assert unchanged.status_code == 304
    assert await get(adele, "/StructureDefinition/Patient/_history/1") == body
    await get(adele, "/StructureDefinition/Patient/_history/2", 404)
    past = await get(adele, "/StructureDefinition/Patient/_history")
    assert (past["total"], past["entry"][0]["resource"]) == (1, body)
    part = await get(adele, "/StructureDefinition/Patient?_elements=url")
    assert set(part) == {"resourceType", "id", "meta", "url", "name", "status", "kind", "abstract", "type"}


@pytest.mark.parametrize(
    ("question", "first"),
    [
        (f"ValueSet?url={GENDERS}", "ValueSet/administrative-gender"),
        (f"ValueSet?url={GENDERS}&version=4.0.1", "ValueSet/administrative-gender"),
        ("ValueSet?_id=administrative-gender&status=active", "ValueSet/administrative-gender"),
        ("ValueSet?identifier=urn:ietf:rfc:3986|urn:oid:2.16.840.1.113883.4.642.3.1", "ValueSet/administrative-gender"),
        ("CodeSystem?title=AdministrativeGender", "CodeSystem/administrative-gender"),
        ("CodeSystem?code=http://hl7.org/fhir/administrative-gender|female&name=AdministrativeGender", "CodeSystem/administrative-gender"),
        ("ConceptMap?name:contains=addressuse&_sort=_id", "ConceptMap/cm-address-use-v2"),
        ("StructureDefinition?type=Patient&derivation=specialization", "StructureDefinition/Patient"),
        ("StructureDefinition?_filter=type eq Patient and derivation eq specialization", "StructureDefinition/Patient"),
        ("SearchParameter?base=Patient&code=active", "SearchParameter/Patient-active"),
        ("OperationDefinition?code=validate", "OperationDefinition/Resource-validate"),
        ("CompartmentDefinition?code=Patient", "CompartmentDefinition/patient"),
    ],
)
async def test_definitions_are_found_by_the_parameters_of_their_type(adele: Session, question: str, first: str) -> None:
    found = await get(adele, f"/{question}")
    (entry,) = [one for one in found["entry"] if one["fullUrl"] == f"https://trust.example/fhir/R4/{first}"]
    assert (f"{entry['resource']['resourceType']}/{entry['resource']['id']}", entry["search"]) == (first, {"mode": "match"})
    assert found["total"] == len(found["entry"])


@pytest.mark.parametrize(
    "question",
    [f"ValueSet?url={GENDERS}&version=5", f"ValueSet?url={GENDERS}&status=draft", "SearchParameter?base=Patient&_has:List:item:code=x"],
)
async def test_what_does_not_match_is_not_found(adele: Session, question: str) -> None:
    assert (await get(adele, f"/{question}"))["total"] == 0


async def test_pages_follow_each_other_through_all_of_them(adele: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = await pages(adele, "/SearchParameter?base=Patient&_sort=code&_count=7&_elements=code")
    assert len(everything) > 2
    ids = references(*everything)
    assert len(ids) == len(set(ids)) == everything[0]["total"]
    codes = [one["resource"]["code"] for page in everything for one in page["entry"]]
    assert codes == sorted(codes)
    assert (await get(adele, "/SearchParameter?base=Patient&_summary=count"))["total"] == len(ids)
    assert "total" not in await get(adele, "/SearchParameter?base=Patient&_total=none")
    back = [link["url"] for link in everything[1]["link"] if link["relation"] == "previous"]
    assert references(await get(adele, back[0])) == references(everything[0])
    await get(adele, "/SearchParameter?_page=~unknown.0", 404)
    monkeypatch.setattr(beside, "PAGE_BYTES_MAX", 200_000)  # a page that would be too long for the session's memory ends earlier
    short = await pages(adele, "/StructureDefinition?base=http://hl7.org/fhir/StructureDefinition/Quantity&_count=1000")
    assert len(references(*short)) == short[0]["total"]
    long = await pages(adele, "/StructureDefinition?type=Observation&derivation=constraint&_count=1000")
    assert len(long) > 1
    assert len(references(*long)) == long[0]["total"]


async def test_the_trust_s_own_stand_beside_them_and_go_first(program: Session, delorme: Session) -> None:
    mark = secrets.token_hex(4)
    own = value_set(f"own-{mark}", {"system": "http://hl7.org/fhir/administrative-gender"}, title=mark) | {"name": "AdministrativeGender"}
    await program.records.update(own)
    both = await get(program, "/ValueSet?name=AdministrativeGender&_sort=-_lastUpdated")
    assert {f"ValueSet/own-{mark}", "ValueSet/administrative-gender"} <= set(references(both))
    assert references(await get(program, f"/ValueSet?title={mark}")) == [f"ValueSet/own-{mark}"]
    one_each = await pages(program, "/ValueSet?name=AdministrativeGender&_sort=-_lastUpdated&_count=1")
    assert references(*one_each) == references(both)
    same = (await program.records.create({**own, "id": "x", "url": GENDERS, "version": "4.0.1"})).stored
    assert references(await get(program, f"/ValueSet?url={GENDERS}&version=4.0.1")) == [same.reference]
    assert references(await get(delorme, f"/ValueSet?url={GENDERS}&version=4.0.1")) == ["ValueSet/administrative-gender"]
    await program.records.delete("ValueSet", same.id)
    assert references(await get(program, f"/ValueSet?url={GENDERS}&version=4.0.1")) == ["ValueSet/administrative-gender"]


async def test_a_published_definition_is_refused_to_be_changed(program: Session) -> None:
    body = await get(program, "/ValueSet/administrative-gender")
    patch = {
        "content": b'[{"op":"replace","path":"/status","value":"retired"}]',
        "headers": {"content-type": "application/json-patch+json"},
    }
    put = {"resource": body, "request": {"method": "PUT", "url": "ValueSet/administrative-gender"}}
    for answer in (
        await asked(program, "PUT", "/ValueSet/administrative-gender", json=body),
        await asked(program, "PUT", "/ValueSet/administrative-gender", json=body, headers={"if-match": 'W/"1"'}),
        await asked(program, "PUT", f"/ValueSet?url={GENDERS}", json=body),
        await asked(program, "PATCH", "/ValueSet/administrative-gender", **patch),
        await asked(program, "DELETE", "/ValueSet/administrative-gender"),
        await asked(program, "DELETE", "/ValueSet/administrative-gender", headers={"if-match": 'W/"1"'}),
        await asked(program, "POST", "", json={"resourceType": "Bundle", "type": "transaction", "entry": [put]}),
    ):
        (issue,) = answer.json()["issue"]
        assert answer.status_code == 409, answer.text
        assert issue["details"]["coding"][0]["code"] == "published"
        assert "an id of your own" in issue["diagnostics"]
    assert await get(program, "/ValueSet/administrative-gender") == body
    copied = await asked(program, "PUT", "/ValueSet/our-genders", json=body | {"id": "our-genders", "url": f"{SETS}our-genders"})
    assert copied.status_code in (200, 201)


async def test_one_that_the_trust_stored_before_stays_its_own(program: Session, tmp_path: Path) -> None:
    id = f"mine-{secrets.token_hex(4)}"
    mine = value_set(id, {"system": ILLS}, title="Mine")
    await program.records.update(mine)
    write_pack(tmp_path, "later", packed([], [mine | {"title": "Theirs"}], MADE))
    refresh(tmp_path)
    try:
        assert (await get(program, f"/ValueSet/{id}"))["title"] == "Mine"
        assert [one["resource"]["title"] for one in (await get(program, f"/ValueSet?url={mine['url']}"))["entry"]] == ["Mine"]
        assert (await program.records.update(mine | {"title": "Still mine"})).stored.version == 2
        await program.records.delete("ValueSet", id)
        assert (await get(program, f"/ValueSet/{id}"))["title"] == "Theirs"
        assert (await get(program, f"/ValueSet/{id}/_history"))["total"] == 3, "what became of its own is not lost"
        assert (await asked(program, "PUT", f"/ValueSet/{id}", json=mine)).status_code == 409
    finally:
        refresh(None)


@pytest.mark.usefixtures("loaded")
async def test_what_a_trust_has_loaded_is_read_too_and_of_several_versions_the_highest(adele: Session) -> None:
    answer = await asked(adele, "GET", "/ValueSet/fevers")
    assert (answer.json()["version"], answer.headers["last-modified"]) == ("1.10.0", "Mon, 30 Nov 2026 12:00:00 GMT")
    assert references(await get(adele, f"/ValueSet?url={SETS}fevers")) == ["ValueSet/fevers"]
    (entry,) = (await get(adele, f"/ValueSet?url={SETS}nameless"))["entry"]
    assert await get(adele, f"/ValueSet/{entry['resource']['id']}") == entry["resource"]
    expanded = await get(adele, "/ValueSet/fevers/$expand")
    assert [one["code"] for one in expanded["expansion"]["contains"]] == ["A2", "A21"]
    checked = await get(adele, "/CodeSystem/ills/$validate-code?code=A1")
    assert next(one["valueBoolean"] for one in checked["parameter"] if one["name"] == "result") is True


async def test_a_code_system_too_long_for_one_piece_is_told_without_its_codes(
    adele: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wholes, "BODY_BYTES_MAX", 400)
    write_pack(tmp_path, "long", packed([ILL_SYSTEM], [ILL_SYSTEM], MADE))
    refresh(tmp_path)
    try:
        told = await get(adele, "/CodeSystem/ills")
        assert (told["count"], told["meta"]["tag"][0]["code"], "concept" in told) == (5, "SUBSETTED", False)
        known = await get(adele, "/CodeSystem/ills/$validate-code?code=A21")
        assert next(one["valueBoolean"] for one in known["parameter"] if one["name"] == "result") is True
    finally:
        refresh(None)


async def test_values_taken_by_other_search_parameters_are_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholes, "extract", lambda _: {})
    with monkeypatch.context() as former:
        former.setattr(wholes, "stamp", lambda: "former")
        content = packed([], [value_set("anew", {"system": ILLS})], MADE)
    monkeypatch.undo()
    write_pack(tmp_path, "former", content)
    refresh(tmp_path)
    try:
        catalogue = shelf.catalogue()
        place = catalogue.get("ValueSet", "anew")
        assert place is not None
        ((entry, _),) = catalogue.entries([place])
        assert f"{SETS}anew" in [value for values in entry.values.values() for value in values]
    finally:
        refresh(None)


async def test_reading_one_is_decided_and_audited(trust: Rig, adele: Session) -> None:
    await get(adele, "/StructureDefinition/Observation")
    await get(adele, "/ValueSet?url=" + GENDERS)
    database = await trust.connect()
    entries = [entry for _, entry in await opened_log(database, trust.trust.trust_id)]
    await database.close()
    mine = [(one.action, one.kind, one.object) for one in entries if one.session == adele.actor.session]
    assert mine == [("read", "StructureDefinition", "StructureDefinition/Observation"), ("search", "ValueSet", "")]
    colin = await trust.session(COLIN)
    try:
        assert (await asked(colin, "GET", "/StructureDefinition/Observation")).status_code == 403
        assert (await asked(colin, "GET", "/StructureDefinition/Observation/_history")).status_code == 403
        assert (await asked(colin, "GET", f"/ValueSet?url={GENDERS}")).status_code == 403
    finally:
        colin.close()


def test_every_definition_of_r4_is_valid_and_none_says_what_hl7_did_not() -> None:
    catalogue = shelf.catalogue()
    counts = {type: len([*catalogue.places(type)]) for type in TYPES}
    assert counts["CodeSystem"] > 1000
    assert counts["ValueSet"] > 1300
    assert counts["SearchParameter"] == 1378
    assert counts["StructureDefinition"] > 640
    for type in ("ConceptMap", "OperationDefinition", "CompartmentDefinition"):
        for place in catalogue.places(type):
            assert issues_of(Published(place).resource or {}) == []
    for name, other in (("Meta", "project"), ("Binary", "url"), ("ResearchStudy", "recruitment"), ("ObservationDefinition", "publisher")):
        place = catalogue.get("StructureDefinition", name)
        assert place is not None
        paths = [one["path"] for one in (Published(place).resource or {})["snapshot"]["element"]]
        assert f"{name}.id" in paths
        assert f"{name}.{other}" not in paths
