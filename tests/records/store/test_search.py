"""Search across charts and inside one: by the cheapest means, decided on opened values."""

from __future__ import annotations

import secrets

import pytest
from people import admitted, found, patient, search, stay, weighed, weight
from store_rig import CARDIOLOGY, PROGRAM, SURGERY, Rig, Session

from cloister.base.errors import Denied, Invalid
from cloister.records import searching, shard


async def test_people_are_found_by_name_birth_date_and_gender(program: Session) -> None:
    mark = secrets.token_hex(4)
    made = await program.records.create(patient(f"Zürcher{mark}", "Hélène", birthDate="1961-07-08"))
    other = await program.records.create(patient(f"Zürcher{mark}", "Hervé", birthDate="1970-01-01", gender="male"))
    ids = {made.stored.id, other.stored.id}
    assert set(await found(program, "Patient", f"family=zurcher{mark}")) == ids
    assert await found(program, "Patient", f"name=zurcher{mark}&birthdate=1961-07-08") == [made.stored.id]
    assert await found(program, "Patient", f"name=zurcher{mark}&birthdate=ge1965") == [other.stored.id]
    assert await found(program, "Patient", f"family=zurcher{mark}&gender=male") == [other.stored.id]
    assert await found(program, "Patient", f"family=zurcher{mark}&given=hel") == [made.stored.id]
    renamed = {**patient(f"Meier{mark}", "Hélène"), "id": made.stored.id}
    await program.records.update(renamed)
    assert await found(program, "Patient", f"family=zurcher{mark}") == [other.stored.id]
    assert await found(program, "Patient", f"family=meier{mark}") == [made.stored.id]


async def test_a_name_written_by_a_colleague_is_found_at_once(program: Session, vasseur: Session) -> None:
    mark = secrets.token_hex(4)
    assert await found(vasseur, "Patient", f"family=new{mark}") == []
    made = await program.records.create(patient(f"New{mark}"))
    assert await found(vasseur, "Patient", f"family=new{mark}") == [made.stored.id]


async def test_the_list_of_people_stays_in_few_parts(trust: Rig, program: Session) -> None:
    mark = secrets.token_hex(4)
    ids = {(await program.records.create(patient(f"Many{mark}", f"Number{n}"))).stored.id for n in range(80)}
    database = await trust.connect()
    assert await database.fetchval("select count(*) from care.shard_part where zone = 'saint-roch'") <= 2 * shard.PARTS_MAX
    await database.close()
    anew = await trust.session(PROGRAM)
    assert set(await found(anew, "Patient", f"family=many{mark}&_count=200")) == ids
    anew.close()


async def test_the_work_list_of_a_ward_is_found_by_tokens(program: Session, adele: Session) -> None:
    here, elsewhere = await admitted(program, ward=CARDIOLOGY), await admitted(program, ward=SURGERY)
    finished = await admitted(program, ward=CARDIOLOGY)
    closed = (await program.records.create(stay(finished, CARDIOLOGY, "finished"))).stored.id
    page = await search(adele, "Encounter", f"status=in-progress&location=Location/{CARDIOLOGY}&_include=Encounter:patient&_count=500")
    patients = {hit.stored.id for hit in page.hits if hit.mode == "include"}
    assert here in patients
    assert elsewhere not in patients
    assert closed not in {hit.stored.id for hit in page.hits}
    days = await found(adele, "Encounter", f"date=ge2026-11-20&location=Location/{CARDIOLOGY}&_count=500")
    assert closed in days


async def test_pages_follow_each_other_and_keep_their_order(program: Session) -> None:
    lopez = await admitted(program)
    for day in range(1, 8):
        await program.records.create(weight(lopez, 60 + day, f"2026-11-{day:02d}"))
    page = await search(program, "Observation", f"patient={lopez}&_sort=-date&_count=3")
    assert (page.total, page.previous) == (7, None)
    seen = [hit.stored.id for hit in page.hits]
    await weighed(program, lopez)  # what is written now changes no page of a search begun before
    while page.next:
        page = await program.records.page(page.next)
        seen += [hit.stored.id for hit in page.hits]
    assert len(set(seen)) == len(seen) == 7
    assert page.previous is not None
    values = [(await program.records.read("Observation", id)).resource for id in seen]
    assert [one["valueQuantity"]["value"] for one in values if one] == [67, 66, 65, 64, 63, 62, 61]


async def test_a_search_in_a_chart_sees_what_a_colleague_wrote_a_moment_ago(program: Session, vasseur: Session) -> None:
    lopez = await admitted(program)
    first = (await weighed(program, lopez)).stored.id
    assert await found(vasseur, "Observation", f"patient={lopez}") == [first]
    second = (await weighed(program, lopez)).stored.id
    assert set(await found(vasseur, "Observation", f"patient={lopez}")) == {first, second}
    await program.records.delete("Observation", first)
    await program.records.delete("Observation", second)
    assert await found(vasseur, "Observation", f"patient={lopez}") == []
    third = (await weighed(program, lopez)).stored.id
    assert await found(vasseur, "Observation", f"patient={lopez}") == [third]
    assert (await search(vasseur, "Observation", f"patient={lopez}&_summary=count")).total == 1


async def test_revincludes_and_iteration_stay_in_the_chart(program: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    (encounter,) = await found(program, "Encounter", f"patient={lopez}")
    observed = {**weight(lopez), "encounter": {"reference": f"Encounter/{encounter}"}}
    made = (await program.records.create(observed)).stored.id
    page = await search(program, "Encounter", f"patient={lopez}&_revinclude=Observation:encounter&_include=Encounter:patient")
    assert {(hit.stored.type, hit.stored.id, hit.mode) for hit in page.hits} == {
        ("Encounter", encounter, "match"),
        ("Observation", made, "include"),
        ("Patient", lopez, "include"),
    }
    assert await found(program, "Observation", f"encounter=Encounter/{encounter}") == [made]
    assert await found(program, "Observation", f"encounter={encounter}") == [made]


async def test_a_search_over_every_record_is_bounded(program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    await weighed(program, await admitted(program))
    assert (await search(program, "Observation", "code=http://loinc.org|29463-7&_count=1")).total
    monkeypatch.setattr(searching, "SCANNED_DOSSIERS_MAX", 0)
    with pytest.raises(Invalid) as costly:
        await search(program, "Observation", "code=http://loinc.org|29463-7")
    assert costly.value.reason == "too-costly"


async def test_the_register_is_searched_without_opening_patients(program: Session) -> None:
    mark = secrets.token_hex(4)
    made = (await program.records.create({"resourceType": "Organization", "name": f"Laboratory {mark}"})).stored
    assert await found(program, "Organization", f"name=laboratory {mark}") == [made.id]


async def test_a_role_that_may_not_read_may_not_search(colin: Session) -> None:
    with pytest.raises(Denied):
        await search(colin, "Patient", "name=a")
