"""$lastn: the last observations of each kind. http://hl7.org/fhir/R4/observation-operation-lastn.html.

Observations are of one kind when they share a coding, or, without any, the same text.
"""

from __future__ import annotations

from typing import Final

from cloister.access import Action
from cloister.base.errors import Invalid
from cloister.records.chart import clinical_date
from cloister.records.lines import Line
from cloister.records.listing import Listed
from cloister.records.room import Room
from cloister.records.search import Query, parameter

PAGE: Final = 1000
UNCODED_MAX: Final = 1000
TYPE: Final = "Observation"


async def lastn(room: Room, query: Query, most: int) -> Listed:
    """The newest `most` of each kind among the matches, newest first."""
    await room.permit(Action.SEARCH, TYPE)
    found, _ = await room.searcher.found(query)
    found.sort(key=lambda one: (clinical_date(one[1].entry), one[1].entry.updated), reverse=True)
    kinds = await _kinds(room, found)
    taken: dict[str, int] = {}
    chosen = []
    for (dossier, line), kind in zip(found, kinds, strict=True):
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= most:
            chosen.append((dossier, TYPE, line.entry.id))
    return Listed(TYPE, tuple(chosen), len(chosen), PAGE)


async def _kinds(room: Room, found: list[tuple[bytes, Line]]) -> list[str]:
    """The kind of each observation, named by one of its codings."""
    known = parameter(TYPE, "code")
    codings = [[str(value) for value in known.values(line.entry.values)] if known is not None else [] for _, line in found]
    uncoded = [place for place, several in enumerate(codings) if not several]
    if len(uncoded) > UNCODED_MAX:
        raise Invalid("Too many of these observations have no code.", hint="Narrow it with category, code or date.", reason="too-costly")
    if uncoded:
        opened = await room.dossiers.open([found[place][0] for place in uncoded])
        pairs = [(opened[found[place][0]], found[place][1]) for place in uncoded]
        notes = [{"action": "search", "kind": TYPE, "object": name} for name in dict.fromkeys(dossier.name for dossier, _ in pairs)]
        stored, _ = await room.dossiers.rows(pairs, notes)
        for place, one in zip(uncoded, stored, strict=True):
            resource = (one.resource if one is not None else None) or {}
            codings[place] = ["text " + str(resource.get("code", {}).get("text", ""))]
    same: dict[str, str] = {}
    for several in codings:
        first = _root(same, several[0])
        for coding in several[1:]:
            same[_root(same, coding)] = first
    return [_root(same, several[0]) for several in codings]


def _root(same: dict[str, str], coding: str) -> str:
    while (above := same.get(coding, coding)) != coding:
        coding = above
    return coding
