"""Every search parameter of R4 through a real session: written sealed, found again over the gate and PostgreSQL."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from every_parameter import OTHER_PATIENT, PATIENT, Case, cases, composites
from people import patient
from store_rig import Session

from cloister.records import parse
from cloister.records.definitions import load

PARTS = 6
WITH_GENERAL = ("Patient", "Observation", "Location")  # `_tag` and its like are the same everywhere; see pure/test_every_parameter.py
NOT_STORED = ("Bundle", "Binary", "Parameters", "Subscription")  # by themselves, or as they come


@pytest.mark.parametrize("part", range(PARTS))
async def test_every_parameter_finds_what_was_written_and_only_that(program: Session, part: int) -> None:
    for reference in (PATIENT, OTHER_PATIENT):
        await program.records.update({**patient(), "id": reference.partition("/")[2]})
    types = [type for type in load().types if type not in NOT_STORED][part::PARTS]
    several = [case for type in types for case in (*cases(type), *composites(type)) if case.code[0] != "_" or type in WITH_GENERAL]
    ids = await written(program, several)
    missed: list[tuple[Any, ...]] = []
    for case, id in zip(several, ids, strict=True):
        query = parse(case.type, [(case.code, case.questions[0]), ("_count", "1000")], strict=True)
        hits = [hit.stored.id for hit in (await program.records.search(query)).hits]
        if id not in hits or (case.unique and hits != [id]):
            missed.append((case.type, case.code, case.place, case.questions[0], len(hits)))
    assert not missed


async def written(session: Session, several: list[Case]) -> list[str]:
    entries = [{"resource": copy.deepcopy(one.resource), "request": {"method": "POST", "url": one.type}} for one in several]
    outcomes = await session.records.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return [one.stored.id if one.stored is not None else "" for one in outcomes]
