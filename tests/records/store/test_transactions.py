"""Transaction and batch bundles: all or nothing, imports that can be run again, entries on their own."""

from __future__ import annotations

import asyncio
import base64
import copy
import uuid
from typing import Any

import pytest
from people import admitted, found, patient, search, weighed, weight
from store_rig import CARDIOLOGY, PROGRAM, Rig, Session

from cloister.base.errors import CloisterError, Conflict, Denied, Invalid, NotFound


def entry(resource: dict[str, Any], method: str = "POST", url: str = "", **request: Any) -> dict[str, Any]:
    return {
        "fullUrl": f"urn:uuid:{uuid.uuid4()}",
        "resource": resource,
        "request": {"method": method, "url": url or resource["resourceType"], **request},
    }


def bundle(*entries: dict[str, Any], type: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def story(family: str = "Imported") -> dict[str, Any]:
    """A patient, her doctor, a weight that names both."""
    person, doctor = entry(patient(family)), entry({"resourceType": "Practitioner", "name": [{"family": "Vasseur"}]})
    observed = weight("x")
    observed["subject"] = {"reference": person["fullUrl"]}
    observed["performer"] = [{"reference": doctor["fullUrl"]}]
    return bundle(person, doctor, entry(observed))


async def test_references_between_entries_become_ids(program: Session) -> None:
    made = await program.records.transaction(story())
    assert [one.status for one in made] == ["201", "201", "201"]
    person, doctor, observed = (one.stored for one in made)
    assert person is not None
    assert doctor is not None
    assert observed is not None
    assert observed.resource is not None
    assert observed.resource["subject"]["reference"] == f"Patient/{person.id}"
    assert observed.resource["performer"][0]["reference"] == f"Practitioner/{doctor.id}"
    assert await found(program, "Observation", f"performer=Practitioner/{doctor.id}&patient={person.id}") == [observed.id]
    page = await search(program, "Observation", f"patient={person.id}&_include=Observation:performer")
    assert {hit.stored.reference for hit in page.hits} == {observed.reference, doctor.reference}


async def test_half_good_is_nothing(program: Session, trust: Rig) -> None:
    database = await trust.connect()
    before = await database.fetchval("select count(*) from care.res")
    broken = story("Halfgood")
    broken["entry"][2]["resource"].pop("status")
    with pytest.raises(Invalid) as refused:
        await program.records.transaction(broken)
    assert refused.value.expression.startswith("Bundle.entry[2].resource")
    dangling = story("Halfgood")
    dangling["entry"][2]["resource"]["subject"] = {"reference": f"urn:uuid:{uuid.uuid4()}"}
    with pytest.raises(Invalid) as nowhere:
        await program.records.transaction(dangling)
    assert nowhere.value.reason == "dangling"
    stale = story("Halfgood")
    stored = (await weighed(program, await admitted(program))).stored
    before = await database.fetchval("select count(*) from care.res")
    changed = {**weight(stored.resource["subject"]["reference"].removeprefix("Patient/")), "id": stored.id} if stored.resource else {}
    stale["entry"].append(entry(changed, "PUT", stored.reference, ifMatch='W/"7"'))
    with pytest.raises(Conflict):
        await program.records.transaction(stale)
    assert await found(program, "Patient", "family=halfgood") == []
    assert await database.fetchval("select count(*) from care.res") == before
    await database.close()


async def test_an_import_run_again_writes_nothing(program: Session, trust: Rig) -> None:
    given = story("Again")
    first = await program.records.transaction(copy.deepcopy(given), idempotent=True)
    assert [one.stored.id for one in first if one.stored] == [one["fullUrl"].removeprefix("urn:uuid:") for one in given["entry"]]
    database = await trust.connect()
    before = await database.fetchval("select count(*) from care.commit")
    again = await program.records.transaction(copy.deepcopy(given), idempotent=True)
    other = await trust.session(PROGRAM)
    anew = await other.records.transaction(copy.deepcopy(given), idempotent=True)
    other.close()
    assert [one.status for one in (*again, *anew)] == ["200"] * 6
    assert await database.fetchval("select count(*) from care.commit") == before
    await database.close()
    given["entry"][2]["resource"]["valueQuantity"]["value"] = 99
    changed = await program.records.transaction(copy.deepcopy(given), idempotent=True)
    assert [(one.status, one.stored.version if one.stored else 0) for one in changed] == [("200", 0), ("200", 0), ("200", 2)]


async def test_one_bundle_changes_reads_and_deletes(program: Session) -> None:
    lopez = await admitted(program)
    kept, gone = (await weighed(program, lopez)).stored, (await weighed(program, lopez)).stored
    made = await program.records.transaction(
        bundle(
            entry({**weight(lopez, 60), "id": kept.id}, "PUT", kept.reference, ifMatch='W/"1"'),
            {"request": {"method": "DELETE", "url": gone.reference}},
            {"request": {"method": "GET", "url": f"Observation?patient={lopez}"}},
            entry(weight(lopez, 61)),
        )
    )
    assert [one.status for one in made] == ["200", "204", "200", "201"]
    assert made[2].page is not None
    assert made[2].page.total == 2
    with pytest.raises(NotFound):
        await program.records.read("Observation", gone.id)


async def test_a_condition_in_a_bundle_stands_for_its_match(program: Session) -> None:
    doctor = {"resourceType": "Practitioner", "identifier": [{"system": "urn:rpps", "value": uuid.uuid4().hex}]}
    condition = f"identifier=urn:rpps|{doctor['identifier'][0]['value']}"  # type: ignore[index]
    lopez = await admitted(program)
    seen = []
    for _ in range(2):
        named = entry(dict(doctor), ifNoneExist=condition)
        observed = {**weight(lopez), "performer": [{"reference": named["fullUrl"]}]}
        made = await program.records.transaction(bundle(named, entry(observed)))
        seen.append(
            (made[0].status, made[1].stored.resource["performer"][0]["reference"] if made[1].stored and made[1].stored.resource else "")
        )
    assert [status for status, _ in seen] == ["201", "200"]
    assert seen[0][1] == seen[1][1]
    by_search = {**weight(lopez), "performer": [{"reference": f"Practitioner?{condition}"}]}
    made = await program.records.transaction(bundle(entry(by_search)))
    assert made[0].stored is not None
    assert made[0].stored.resource is not None
    assert made[0].stored.resource["performer"][0]["reference"] == seen[0][1]


async def test_a_batch_keeps_what_is_good(program: Session) -> None:
    lopez = await admitted(program)
    bad = weight(lopez)
    bad.pop("code")
    made = await program.records.batch(
        bundle(
            entry(weight(lopez)), entry(bad), {"request": {"method": "GET", "url": "Patient/nobody"}}, entry(weight(lopez)), type="batch"
        )
    )
    assert [one.status for one in made[::3]] == ["201", "201"]
    assert isinstance(made[1].problem, CloisterError)
    assert made[1].problem.expression.startswith("Bundle.entry[1]")
    assert isinstance(made[2].problem, NotFound)
    assert len(await found(program, "Observation", f"patient={lopez}")) == 2


async def test_what_a_role_may_not_write_stops_the_whole_bundle(adele: Session, program: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    condition = {"resourceType": "Condition", "subject": {"reference": f"Patient/{lopez}"}}
    with pytest.raises(Denied):
        await adele.records.transaction(bundle(entry(weight(lopez)), entry(condition)))
    assert await found(program, "Observation", f"patient={lopez}") == []


async def test_two_who_write_one_record_at_once_both_land(trust: Rig, program: Session, vasseur: Session) -> None:
    lopez = await admitted(program)
    writes = [weighed(session, lopez, 60 + number) for number in range(12) for session in (program, vasseur)]
    made = await asyncio.gather(*writes)
    assert len({one.stored.id for one in made}) == 24
    assert len(await found(program, "Observation", f"patient={lopez}")) == 24
    assert len(await found(vasseur, "Observation", f"patient={lopez}")) == 24


async def test_two_imports_that_found_a_register_share_it(trust: Rig, program: Session, vasseur: Session) -> None:
    other = await trust.session(PROGRAM)
    made = await asyncio.gather(*(session.records.transaction(story(f"Shared{n}")) for n in range(4) for session in (program, other)))
    other.close()
    registers = {one.stored.dossier for outcomes in made for one in outcomes if one.stored and one.stored.type == "Practitioner"}
    assert len(registers) == 1


async def test_an_update_of_one_version_is_won_once(program: Session, vasseur: Session) -> None:
    lopez = await admitted(program)
    stored = (await weighed(program, lopez)).stored
    changed = [{**weight(lopez, 70 + number), "id": stored.id} for number in range(2)]
    results = await asyncio.gather(
        program.records.update(changed[0], if_match=1), vasseur.records.update(changed[1], if_match=1), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in results) == ["Conflict", "Written"]


async def test_a_bundle_patches_in_both_forms_with_the_rest_of_it_or_not_at_all(program: Session, delorme: Session) -> None:
    who = await admitted(program, "Patched")
    observed = (await weighed(program, who)).stored
    operations = base64.b64encode(b'[{"op": "replace", "path": "/status", "value": "amended"}]').decode()
    as_binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": operations}
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.birthDate"},
        {"name": "value", "valueDate": "1951-01-01"},
    ]
    as_parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    both = [
        entry(as_binary, "PATCH", f"Observation/{observed.id}", ifMatch='W/"1"'),
        entry(as_parameters, "PATCH", f"Patient?_id={who}"),
    ]
    broken = bundle(*both, entry({"resourceType": "Observation"}))
    with pytest.raises(Invalid):
        await program.records.transaction(broken)
    assert (await program.records.read("Patient", who)).version == 1
    made = await program.records.transaction(bundle(*both))
    assert [one.status for one in made] == ["200", "200"]
    assert ((await program.records.read("Observation", observed.id)).resource or {})["status"] == "amended"
    assert ((await program.records.read("Patient", who)).resource or {})["birthDate"] == "1951-01-01"
    with pytest.raises(Conflict):
        await program.records.transaction(bundle(both[0]))
    with pytest.raises(NotFound):
        await delorme.records.transaction(bundle(entry(as_parameters, "PATCH", f"Patient/{who}")))
    outcomes = await program.records.batch(bundle(both[1], entry({"resourceType": "Basic"}, "PATCH", f"Patient/{who}"), type="batch"))
    assert outcomes[0].problem is None
    assert isinstance(outcomes[1].problem, Invalid)


async def test_transactions_under_one_condition_at_once_create_one(program: Session) -> None:
    value = uuid.uuid4().hex
    doctor = {"resourceType": "Practitioner", "identifier": [{"system": "urn:rpps", "value": value}]}
    condition = f"identifier=urn:rpps|{value}"
    made = await asyncio.gather(
        *(program.records.transaction(bundle(entry(dict(doctor), ifNoneExist=condition), entry(patient("Ring")))) for _ in range(6))
    )
    assert sorted(outcomes[0].status for outcomes in made) == ["200"] * 5 + ["201"]
    assert len(await found(program, "Practitioner", condition)) == 1


async def test_an_update_by_condition_in_a_bundle_overwrites_nothing_else(program: Session) -> None:
    lopez, other = await admitted(program), await admitted(program)
    with pytest.raises(Conflict) as taken:
        await program.records.transaction(bundle(entry({**patient("Over"), "id": lopez}, "PUT", "Patient?identifier=urn:test:ins|nobody")))
    with pytest.raises(Invalid) as mixed:
        await program.records.transaction(bundle(entry({**patient("Over"), "id": lopez}, "PUT", f"Patient?_id={other}")))
    with pytest.raises(Conflict) as made:
        await program.records.transaction(bundle(entry({**patient("Over"), "id": lopez}, "PUT", f"Patient/{lopez}", ifNoneMatch="*")))
    assert [one.value.reason for one in (taken, mixed, made)] == ["id-taken", "other-id", "id-taken"]
    assert [(await program.records.read("Patient", one)).version for one in (lopez, other)] == [1, 1]


async def test_what_a_transaction_asks_for_in_vain_is_told_in_its_place_after_the_rest_is_stored(program: Session) -> None:
    made = await program.records.transaction(
        bundle(entry(patient("Kept")), {"request": {"method": "GET", "url": "Patient/01a203be-2892-7f0e-8dfa-000000000000"}})
    )
    assert made[0].status == "201"
    assert isinstance(made[1].problem, NotFound)
    for url in ("Patient?_count=-1", "Patient/$everything", "Unicorn?name=x"):
        with pytest.raises(CloisterError) as refused:
            await program.records.transaction(bundle(entry(patient("Notkept")), {"request": {"method": "GET", "url": url}}))
        assert refused.value.expression == "Bundle.entry[1].request"
    assert await found(program, "Patient", "family=notkept") == []


async def test_entries_with_addresses_point_at_each_other_by_relative_references(program: Session) -> None:
    person, observed = entry(patient("Afar")), entry(weight("7"))
    person["fullUrl"], observed["fullUrl"] = "https://other.example/fhir/Patient/7", "https://other.example/fhir/Observation/7"
    made = await program.records.transaction(bundle(person, observed))
    assert made[0].stored is not None
    assert made[1].stored is not None
    assert made[1].stored.resource is not None
    assert made[1].stored.resource["subject"]["reference"] == made[0].stored.reference
    stranger = entry(weight("7"))  # its own full URL is no address there, so it speaks of a patient here
    with pytest.raises(Invalid):
        await program.records.transaction(bundle(person, stranger))


@pytest.mark.parametrize(
    ("method", "url", "request_", "place"),
    [
        ("DELETE", "Unicorn/1", {}, "request.url"),
        ("PUT", "Unicorn/1", {}, "request.url"),
        ("PUT", "Patient/1", {"ifMatch": "x"}, "request.ifMatch"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said_of_the_request(
    program: Session, method: str, url: str, request_: dict[str, str], place: str
) -> None:
    with pytest.raises(CloisterError) as refused:
        await program.records.transaction(bundle(entry({**patient(), "id": "1"}, method, url, **request_)))
    assert refused.value.expression == f"Bundle.entry[0].{place}"


def _marked(family: str, mark: str) -> dict[str, Any]:
    return {**patient(family), "identifier": [{"system": "urn:mark", "value": mark}]}


def _by_condition(mark: str) -> dict[str, Any]:
    return {**weight("x"), "subject": {"reference": f"Patient?identifier=urn:mark|{mark}"}}


async def test_a_reference_by_condition_finds_what_the_same_transaction_makes(program: Session) -> None:
    """http.html#trules: conditional references are resolved last, when everything else of the transaction is done."""
    mark = uuid.uuid4().hex
    made = await program.records.transaction(bundle(entry(_by_condition(mark)), entry(_marked("Made", mark)), entry(_by_condition(mark))))
    first, person, last = (one.stored for one in made)
    assert person is not None
    for one in (first, last):
        assert one is not None
        assert one.resource is not None
        assert one.resource["subject"]["reference"] == person.reference
    again = await program.records.transaction(bundle(entry(_by_condition(mark)), entry({**_marked("Other", uuid.uuid4().hex)})))
    assert again[0].stored is not None
    assert again[0].stored.resource is not None
    assert again[0].stored.resource["subject"]["reference"] == person.reference  # and what is stored, as before


async def test_a_reference_by_condition_goes_by_what_the_transaction_leaves(program: Session) -> None:
    mark, other = uuid.uuid4().hex, uuid.uuid4().hex
    person = (await program.records.create(_marked("Renamed", mark))).stored
    renamed = entry({**_marked("Renamed", other), "id": person.id}, "PUT", person.reference)
    with pytest.raises(Invalid) as nothing:
        await program.records.transaction(bundle(entry(_by_condition(mark)), renamed))
    assert nothing.value.reason == "dangling"
    assert nothing.value.expression == "Bundle.entry[0].resource"
    made = await program.records.transaction(bundle(entry(_by_condition(other)), renamed))
    assert made[0].stored is not None
    assert made[0].stored.resource is not None
    assert made[0].stored.resource["subject"]["reference"] == person.reference
    with pytest.raises(Conflict) as several:
        await program.records.transaction(bundle(entry(_by_condition(other)), entry(_marked("Twin", other))))
    assert several.value.reason == "multiple-matches"
    gone = (await program.records.create(_marked("Gone", mark))).stored
    with pytest.raises(Invalid) as deleted:
        await program.records.transaction(bundle(entry(_by_condition(mark)), entry({}, "DELETE", gone.reference)))
    assert deleted.value.reason == "dangling"


async def test_a_reference_by_condition_may_lead_to_one_that_has_such_a_reference_itself(program: Session) -> None:
    mark = uuid.uuid4().hex
    observed = {**_by_condition(mark), "identifier": [{"system": "urn:mark", "value": f"o{mark}"}]}
    derived = {**_by_condition(mark), "derivedFrom": [{"reference": f"Observation?identifier=urn:mark|o{mark}"}]}
    made = await program.records.transaction(bundle(entry(derived), entry(observed), entry(_marked("Derived", mark))))
    assert made[0].stored is not None
    assert made[0].stored.resource is not None
    assert made[1].stored is not None
    assert made[0].stored.resource["derivedFrom"] == [{"reference": made[1].stored.reference}]


async def test_what_a_transaction_deletes_meets_no_condition_of_it(program: Session) -> None:
    """Deletes come first (http.html#trules), wherever they stand."""
    mark = uuid.uuid4().hex
    before = (await program.records.create(_marked("Before", mark))).stored
    create = entry(_marked("After", mark), ifNoneExist=f"identifier=urn:mark|{mark}")
    made = await program.records.transaction(bundle(create, entry({}, "DELETE", before.reference)))
    assert made[0].status == "201"
    assert made[0].stored is not None
    assert made[0].stored.id != before.id
    with pytest.raises(NotFound):
        await program.records.read("Patient", before.id)
