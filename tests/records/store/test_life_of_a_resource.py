"""What is written can be read, changed, deleted, and read as it was."""

from __future__ import annotations

import uuid

import pytest
from people import admitted, found, patient, search, weighed, weight
from store_rig import CARDIOLOGY, PROGRAM, Rig, Session

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.records import parse
from cloister.records.stored import DELETED


async def test_a_weight_is_read_as_it_was_written(program: Session) -> None:
    lopez = await admitted(program)
    written = await weighed(program, lopez)
    assert written.created
    stored = await program.records.read("Observation", written.stored.id)
    assert stored.raw == written.stored.raw
    assert stored.version == 1
    assert stored.resource is not None
    assert stored.resource["valueQuantity"]["value"] == 71.5
    assert stored.resource["meta"]["versionId"] == "1"


async def test_an_update_makes_a_version_and_if_match_guards_it(program: Session) -> None:
    lopez = await admitted(program)
    first = (await weighed(program, lopez)).stored
    changed = {**weight(lopez, 72.0), "id": first.id}
    second = await program.records.update(changed, if_match=1)
    assert (second.created, second.stored.version) == (False, 2)
    with pytest.raises(Conflict) as stale:
        await program.records.update(changed, if_match=1)
    assert stale.value.reason == "version"
    assert (await program.records.vread("Observation", first.id, 1)).raw == first.raw
    assert [stored.version for stored in await program.records.history("Observation", first.id)] == [2, 1]


async def test_what_is_deleted_is_gone_and_its_history_stays(program: Session) -> None:
    lopez = await admitted(program)
    stored = (await weighed(program, lopez)).stored
    await program.records.delete("Observation", stored.id)
    await program.records.delete("Observation", stored.id)  # twice is no error
    with pytest.raises(NotFound) as gone:
        await program.records.read("Observation", stored.id)
    assert gone.value.reason == "deleted"
    with pytest.raises(NotFound):
        await program.records.vread("Observation", stored.id, 2)
    assert [(one.version, one.deleted) for one in await program.records.history("Observation", stored.id)] == [(2, True), (1, False)]
    assert await found(program, "Observation", f"patient={lopez}") == []
    again = await program.records.update({**weight(lopez), "id": stored.id})
    assert (again.created, again.stored.version) == (True, 3)


async def test_a_patient_with_a_record_is_not_deleted(program: Session) -> None:
    lopez = await admitted(program)
    await weighed(program, lopez)
    with pytest.raises(Conflict):
        await program.records.delete("Patient", lopez)


async def test_an_id_that_a_client_chose_is_found_and_is_nowhere_in_clear(program: Session) -> None:
    chosen = "mrs-lopez.1"
    await program.records.update({**patient("Chosen"), "id": chosen})
    written = await program.records.update({**weight(chosen), "id": "weight-of-mrs-lopez"})
    assert written.created
    assert (await program.records.read("Observation", "weight-of-mrs-lopez")).version == 1
    assert await found(program, "Observation", f"patient={chosen}") == ["weight-of-mrs-lopez"]
    assert await found(program, "Patient", f"_id={chosen}") == [chosen]
    assert (await program.records.open_chart(chosen)).patient.id == chosen
    with pytest.raises(NotFound):
        await program.records.read("Observation", "weight-of-mrs-lopes")


async def test_conditional_create_makes_one(program: Session) -> None:
    lopez = patient("Unique")
    query = parse("Patient", [("identifier", f"urn:test:ins|{lopez['identifier'][0]['value']}")])
    first = await program.records.create(dict(lopez), if_none_exist=query)
    second = await program.records.create(dict(lopez), if_none_exist=query)
    assert (first.created, second.created, second.unchanged) == (True, False, True)
    assert second.stored.id == first.stored.id
    await program.records.create(dict(lopez))
    with pytest.raises(Conflict) as several:
        await program.records.create(dict(lopez), if_none_exist=query)
    assert several.value.reason == "multiple-matches"


async def test_a_resource_cannot_move_to_another_patient(program: Session) -> None:
    lopez, garcia = await admitted(program), await admitted(program, "Garcia")
    stored = (await weighed(program, lopez)).stored
    with pytest.raises(Invalid) as moved:
        await program.records.update({**weight(garcia), "id": stored.id})
    assert moved.value.reason == "other-dossier"
    with pytest.raises(Invalid) as unknown:
        await program.records.create(weight("01a203ad-cebe-7483-8e57-000000000000"))
    assert unknown.value.reason == "patient-unknown"


async def test_the_index_survives_a_hundred_writes_and_stays_small(trust: Rig, program: Session) -> None:
    lopez = await admitted(program)
    ids = [(await weighed(program, lopez, 60 + number / 10)).stored.id for number in range(100)]
    page = await search(program, "Observation", f"patient={lopez}&_sort=-date&_count=200")
    assert page.total == 100
    assert {hit.stored.id for hit in page.hits} == set(ids)
    dossier = next(
        one for one in program.records._room.dossiers.opened if "Observation" in one.types() and ids[0] in one.lines("Observation")
    )
    assert len(dossier.parts) <= 33


async def test_the_chart_gives_the_newest_first_and_who_may_open_it(program: Session, adele: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    for day in (3, 21, 12):
        await program.records.create(weight(lopez, 60 + day, f"2026-11-{day:02d}"))
    chart = await adele.records.open_chart(lopez)
    found = await chart.summary({"Observation": 2, "Condition": 10})
    assert [one.resource["valueQuantity"]["value"] for one in found["Observation"] if one.resource] == [81, 72]
    assert found["Condition"] == []
    assert await chart.count("Observation") == 3
    await chart.write(weight(lopez, 65))
    assert len(await chart.all("Observation")) == 4
    readers = {reader.zone: {name for _, name, _ in reader.people} for reader in await chart.readers()}
    assert "Adèle Morel" in readers[CARDIOLOGY]
    assert "Dr Claire Vasseur" in readers["saint-roch"]
    with pytest.raises(Invalid):
        await chart.write(weight(await admitted(program, "Other", ward=CARDIOLOGY)))


async def test_a_resource_with_an_id_of_its_own_is_known_to_be_gone_and_comes_back(program: Session, trust: Rig) -> None:
    id = f"own-{uuid.uuid4().hex[:12]}"
    basic = {"resourceType": "Basic", "id": id, "code": {"text": "once"}}
    await program.records.update(basic)
    await program.records.delete("Basic", id)
    other = await trust.session(PROGRAM)
    for session in (program, other):
        with pytest.raises(NotFound) as gone:
            await session.records.read("Basic", id)
        assert gone.value.reason == DELETED
        assert [one.deleted for one in await session.records.history("Basic", id)] == [True, False]
    other.close()
    back = await program.records.update(basic | {"code": {"text": "again"}})
    assert (back.stored.version, back.created) == (3, True)
    assert (await program.records.read("Basic", id)).version == 3
