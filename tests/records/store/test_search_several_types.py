"""One search across several types: of the whole trust, and of one patient's record."""

from __future__ import annotations

import secrets

import pytest
from over_http import get, pages, references
from people import admitted, patient, stay, weighed
from store_rig import CARDIOLOGY, COLIN, PROGRAM, Rig, Session

from cloister.base.errors import Denied
from cloister.records import beside


async def test_what_several_types_have_is_found_at_once_and_paged(trust: Rig, program: Session) -> None:
    made = await program.records.create(patient(f"Many{secrets.token_hex(4)}"))
    lopez, other = made.stored.id, await admitted(program)
    ward = (await program.records.create(stay(lopez, CARDIOLOGY))).stored.id
    weights = [(await weighed(program, lopez)).stored.id for _ in range(3)]
    await weighed(program, other)
    asked = f"?_type=Encounter,Observation&patient={lopez}"
    found = await pages(program, f"{asked}&_sort=_lastUpdated&_count=3")
    assert [len(page["entry"]) for page in found] == [3, 1]
    assert references(*found) == [f"Encounter/{ward}", *(f"Observation/{one}" for one in weights)]
    assert {page["total"] for page in found} == {4}
    newest = await get(program, f"{asked}&_count=2&_include=Encounter:patient&_include=Observation:patient")
    assert references(newest) == [f"Observation/{weights[2]}", f"Observation/{weights[1]}", f"Patient/{lopez}"]
    assert (await get(program, f"{asked}&_summary=count"))["total"] == 4
    mine = await get(program, f"?_id={lopez},{ward},{weights[0]},{other}x")
    assert set(references(mine)) == {f"Patient/{lopez}", f"Encounter/{ward}", f"Observation/{weights[0]}"}
    anew = await trust.session(PROGRAM)  # another session knows no page of this one
    following = next(link["url"] for link in found[0]["link"] if link["relation"] == "next")
    assert (await get(anew, following, 404))["issue"][0]["code"] == "not-found"
    anew.close()


async def test_a_star_is_everything_of_one_patient_s_compartment_and_of_nobody_else_s(program: Session) -> None:
    lopez, other = await admitted(program, ward=CARDIOLOGY), await admitted(program)
    weights = [(await weighed(program, one)).stored.id for one in (lopez, lopez, other)]
    whole = references(await get(program, f"Patient/{lopez}/*"))
    assert whole[-1] == f"Patient/{lopez}"
    assert {f"Observation/{one}" for one in weights[:2]} < set(whole)
    assert f"Observation/{weights[2]}" not in whole
    assert len(whole) == 4
    assert len(references(await get(program, f"Patient/{lopez}/*?_type=Observation,Encounter"))) == 3
    assert references(await get(program, f"Patient/{lopez}/*?_lastUpdated=lt2020")) == []
    await weighed(program, lopez)
    assert len(references(await get(program, f"Patient/{lopez}/*"))) == 5


async def test_published_definitions_of_several_types_are_found_beside_the_trusts_own(program: Session) -> None:
    id = f"set-{secrets.token_hex(4)}"
    body = {"resourceType": "ValueSet", "id": id, "status": "active", "url": f"urn:test:{id}"}
    await program.records.update(body)
    asked = f"?_type=ValueSet,CodeSystem,Patient&_id={id},administrative-gender"
    found = references(await get(program, asked))
    assert sorted(found) == ["CodeSystem/administrative-gender", "ValueSet/administrative-gender", f"ValueSet/{id}"]
    assert (await get(program, f"{asked}&_count=1"))["total"] == 3
    assert sorted(references(*await pages(program, f"{asked}&_count=1"))) == sorted(found)


async def test_types_that_would_take_too_long_together_are_refused(program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lopez = await admitted(program)
    asked = f"?_type=Observation,Encounter,Condition&patient={lopez}"
    assert references(await get(program, asked)) == []
    monkeypatch.setattr(beside, "SCAN_SECONDS_MAX", -1.0)
    assert (await get(program, asked, 400))["issue"][0]["code"] == "too-costly"
    monkeypatch.undo()
    monkeypatch.setattr(beside, "HITS_MAX", -1)
    assert (await get(program, asked, 400))["issue"][0]["code"] == "too-costly"


async def test_who_may_read_none_of_the_types_is_refused(trust: Rig, program: Session) -> None:
    lopez = await admitted(program, ward=CARDIOLOGY)
    colin = await trust.session(COLIN)
    with pytest.raises(Denied):
        await colin.records.read("Observation", "x")
    refused = await get(colin, f"?_type=Observation,CodeSystem&_id={lopez}", 403)
    assert refused["issue"][0]["code"] == "forbidden"
    assert (await get(colin, "?_id=administrative-gender", 403))["issue"][0]["code"] == "forbidden"
    colin.close()
