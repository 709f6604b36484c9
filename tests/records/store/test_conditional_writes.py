"""Conditional writes at the real store: one match, none, several, at once; and never by what lies in another zone."""

from __future__ import annotations

import asyncio

import pytest
from people import admitted, found, patient, stay, weighed, weight
from store_rig import SURGERY, Session

from cloister.base.errors import Conflict, Denied, Invalid, NotFound
from cloister.records import parse
from cloister.records.search import Query


def by_identifier(value: str, *more: tuple[str, str]) -> Query:
    return parse("Patient", [("identifier", f"urn:test:ins|{value}"), *more])


async def known(session: Session, family: str = "Known") -> tuple[str, str]:
    """A new patient: id and identifier."""
    stored = (await session.records.create(patient(family))).stored
    assert stored.resource is not None
    return stored.id, stored.resource["identifier"][0]["value"]


async def test_the_one_that_matches_is_updated(program: Session) -> None:
    id, identifier = await known(program)
    written = await program.records.update_where(patient("Renamed"), by_identifier(identifier))
    assert (written.stored.id, written.stored.version, written.created) == (id, 2, False)
    with pytest.raises(Conflict) as stale:
        await program.records.update_where(patient("Late"), by_identifier(identifier), if_match=1)
    assert stale.value.reason in ("version", "multiple-matches")


async def test_none_that_matches_makes_a_new_one_under_its_own_id_when_that_is_free(program: Session) -> None:
    fresh = await program.records.update_where(patient("Fresh"), by_identifier("nobody-1"))
    assert (fresh.created, fresh.stored.version) == (True, 1)
    chosen = "018f0a3e-4ab1-7c52-9d3e-5b1f0a3e4a01"
    named = await program.records.update_where({**patient("Named"), "id": chosen}, by_identifier("nobody-2"))
    assert (named.stored.id, named.created) == (chosen, True)
    with pytest.raises(Conflict) as taken:
        await program.records.update_where({**patient("Other"), "id": chosen}, by_identifier("nobody-3"))
    assert taken.value.reason == "id-taken"
    read = await program.records.read("Patient", chosen)
    assert read.version == 1


async def test_the_id_in_the_body_may_not_be_another_than_that_which_matched(program: Session) -> None:
    _, identifier = await known(program)
    with pytest.raises(Invalid) as refused:
        await program.records.update_where({**patient(), "id": "018f0a3e-4ab1-7c52-9d3e-5b1f0a3e4a02"}, by_identifier(identifier))
    assert (refused.value.reason, refused.value.expression) == ("other-id", "Patient.id")


@pytest.mark.parametrize("pairs", [[], [("_count", "1")], [("_sort", "birthdate"), ("_summary", "count")]])
async def test_a_condition_that_holds_for_everything_is_refused(program: Session, pairs: list[tuple[str, str]]) -> None:
    await admitted(program)
    with pytest.raises(Invalid) as refused:
        await program.records.delete_where(parse("Patient", pairs))
    assert refused.value.reason == "empty-condition"


async def test_what_shapes_an_answer_does_not_hide_a_match(program: Session) -> None:
    id, identifier = await known(program)
    shaped = by_identifier(identifier, ("_summary", "count"), ("_count", "1"), ("_total", "none"))
    assert (await program.records.create(patient(), if_none_exist=shaped)).stored.id == id
    twice = parse("Patient", [("family", "known"), ("_total", "none"), ("_count", "1")])
    await known(program)
    with pytest.raises(Conflict):
        await program.records.delete_where(twice)


async def test_several_that_match_are_left_as_they_are(program: Session) -> None:
    lopez = await admitted(program)
    await weighed(program, lopez)
    await weighed(program, lopez)
    several = parse("Observation", [("patient", lopez), ("code", "http://loinc.org|29463-7")])
    for attempt in (program.records.delete_where(several), program.records.update_where(weight(lopez), several)):
        with pytest.raises(Conflict) as refused:
            await attempt
        assert refused.value.reason == "multiple-matches"
    assert len(await found(program, "Observation", f"patient={lopez}")) == 2


async def test_the_one_that_matches_is_deleted_and_none_is_no_error(program: Session) -> None:
    lopez = await admitted(program)
    stored = (await weighed(program, lopez)).stored
    one = parse("Observation", [("patient", lopez)])
    deleted = await program.records.delete_where(one)
    assert deleted is not None
    assert deleted.id == stored.id
    with pytest.raises(NotFound):
        await program.records.read("Observation", stored.id)
    assert await program.records.delete_where(one) is None


async def test_the_same_patient_sent_many_times_at_once_is_one(program: Session) -> None:
    person = patient("Hurried")
    condition = by_identifier(person["identifier"][0]["value"])
    written = await asyncio.gather(*(program.records.create(dict(person), if_none_exist=condition) for _ in range(6)))
    assert len({one.stored.id for one in written}) == 1
    assert sum(one.created for one in written) == 1


async def test_no_condition_tells_of_what_lies_in_another_zone(program: Session, delorme: Session, adele: Session) -> None:
    """The same answers as where there is nothing: a new record of one's own, nothing deleted, nothing in the way."""
    id, identifier = await known(program, "Hidden")
    await program.records.create(stay(id, SURGERY))
    await weighed(program, id)
    assert await delorme.records.delete_where(parse("Encounter", [("patient", id)])) is None
    for outsider in (delorme, adele):
        assert await outsider.records.delete_where(parse("Observation", [("patient", id)])) is None
    made = await delorme.records.update_where(patient("Mine"), by_identifier(identifier))
    assert (made.created, made.stored.version) == (True, 1)
    assert made.stored.id != id
    named = await delorme.records.update_where({**patient("Mine"), "id": id}, by_identifier("nobody-4"))
    assert (named.created, named.stored.version) == (True, 1)
    theirs = await program.records.read("Patient", id)
    assert (theirs.version, (theirs.resource or {})["name"][0]["family"]) == (1, "Hidden")


async def test_a_role_that_may_not_write_may_not_by_a_condition(colin: Session) -> None:
    with pytest.raises(Denied):
        await colin.records.delete_where(by_identifier("any"))
    with pytest.raises(Denied):
        await colin.records.update_where(patient(), by_identifier("any"))


async def test_a_write_outside_of_a_bundle_refers_to_nobody_by_condition(program: Session) -> None:
    _, identifier = await known(program)
    searched = weight("x") | {"subject": {"reference": f"Patient?identifier=urn:test:ins|{identifier}"}}
    for attempt in (
        program.records.create(searched),
        program.records.update(searched | {"id": "searched"}),
        program.records.update_where(searched, parse("Observation", [("identifier", "urn:x|1")])),
    ):
        with pytest.raises(Invalid) as refused:
            await attempt
        assert refused.value.expression == "Observation.subject.reference"
