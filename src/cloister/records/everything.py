"""$everything: one patient's whole record, or what belongs to one stay. http://hl7.org/fhir/R4/patient-operation-everything.html,
encounter-operation-everything.html.

A patient's dossier is the compartment, so it is read from the dossier's own index without any search; what the record
points at in the hospitals' registers (people, places, medicines) comes along. Nothing of another patient's record does.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloister.access import Action, rules
from cloister.base.errors import Invalid
from cloister.records.chart import CLINICAL_DATE
from cloister.records.definitions import is_type
from cloister.records.dossier import Dossier
from cloister.records.finding import not_found
from cloister.records.lines import Line
from cloister.records.listing import Listed, Place
from cloister.records.placement import PATIENT, REGISTER
from cloister.records.room import Room
from cloister.records.search import IndexEntry, parameter
from cloister.records.search.entry import TIME_MAX, TIME_MIN
from cloister.records.search.pointing import references

ENTRIES_MAX: Final = 50_000
ALONG_MAX: Final = 5000
SCAN_BATCH: Final = 200
SCAN_SECONDS_MAX: Final = 15.0

Pair = tuple[Dossier, Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parameters of the operation; moments are microseconds since 1970 UTC."""

    types: frozenset[str] | None = None
    since: int = TIME_MIN
    start: int = TIME_MIN  # of care, not of writing
    end: int = TIME_MAX
    count: int = 1000

    def wants(self, entry: IndexEntry) -> bool:
        return (self.types is None or entry.type in self.types) and entry.updated >= self.since and self._within(entry)

    def _within(self, entry: IndexEntry) -> bool:
        """What has no date of care is always wanted (`start`: "if no start date is provided, all records")."""
        if self.start == TIME_MIN and self.end == TIME_MAX:
            return True
        spans = [span for code in CLINICAL_DATE.get(entry.type, ()) for span in _spans(entry, code)]
        return not spans or any(low < self.end and high > self.start for low, high in spans)


async def everything(room: Room, type: str, id: str, asked: Asked) -> Listed:
    """All that this session can open of Patient/`id`, or of Encounter/`id`."""
    await room.permit(Action.READ, type)
    await room.act(rules.Act.EXPORT, type)
    dossier, line = await room.finder.line(type, id)
    if line.deleted:
        raise not_found(type, id, deleted=True)
    if type == "Patient":
        located = (await room.finder.patients([id])).get(id, [dossier.id])
        opened = await room.dossiers.open(located)
        chosen = [(one, each) for one in opened.values() for each in _current(room, one)]
    else:
        chosen = [(dossier, each) for each in _of_stay(_current(room, dossier), line)]
    matched = [pair for pair in chosen if asked.wants(pair[1].entry)]
    if len(matched) > ENTRIES_MAX:
        raise too_much()
    matched.sort(key=lambda pair: (pair[1].entry.type != type, pair[1].entry.type != "Patient", -pair[1].entry.updated, pair[1].entry.id))
    along = [pair for pair in await _along(room, matched) if asked.types is None or pair[1].entry.type in asked.types]
    for one in {one.id: one for one, _ in matched}.values():
        room.dossiers.keep(one)
    return Listed(type, tuple(_place(pair) for pair in (*matched, *along)), len(matched), asked.count)


async def everything_of_all(room: Room, asked: Asked) -> Listed:
    """The same of every patient whom this session can open, one record after another; bounded in entries and time."""
    await room.permit(Action.READ, "Patient")
    await room.act(rules.Act.EXPORT, "Patient")
    matched: list[Place] = []
    wanted: dict[tuple[str, str], None] = {}
    after, end = bytes(16), time.monotonic() + SCAN_SECONDS_MAX
    while rows := await room.gate.call("dossiers", after=after, limit=SCAN_BATCH):
        after = rows[-1][0]
        opened = await room.dossiers.open([id for id, _, _ in rows], at_least={id: seq for id, _, seq in rows})
        for dossier in opened.values():
            if dossier.kind == PATIENT:
                lines = [line for line in _current(room, dossier) if asked.wants(line.entry)]
                lines.sort(key=lambda line: (line.entry.type != "Patient", -line.entry.updated, line.entry.id))
                matched += [_place((dossier, line)) for line in lines]
                wanted.update(_pointed_at(room, [(dossier, line) for line in lines]))
        if len(matched) > ENTRIES_MAX or time.monotonic() > end:
            raise too_much()
        await asyncio.sleep(0)  # other requests of this session go on
    along = [pair for pair in await _located(room, wanted) if asked.types is None or pair[1].entry.type in asked.types]
    return Listed("Patient", (*matched, *map(_place, along)), len(matched), asked.count)


def too_much() -> Invalid:
    return Invalid("This would give too much at once.", hint="Narrow it with _type, _since, start or end.", reason="too-costly")


def _current(room: Room, dossier: Dossier) -> Iterable[Line]:
    for type in dossier.types():
        if room.may_read(type):
            yield from dossier.current(type)


def _of_stay(lines: Iterable[Line], stay: Line) -> list[Line]:
    """The stay, what points at it, what it points at, and the patient."""
    own, wanted = f"{stay.entry.type}/{stay.entry.id}", set(references(stay.entry.type, stay.entry.values))
    return [
        line
        for line in lines
        if line.entry.type == "Patient"
        or (name := f"{line.entry.type}/{line.entry.id}") == own
        or name in wanted
        or own in references(line.entry.type, line.entry.values)
    ]


async def _along(room: Room, pairs: Iterable[Pair]) -> list[Pair]:
    """What these point at in the registers, one step far."""
    return await _located(room, _pointed_at(room, pairs))


def _pointed_at(room: Room, pairs: Iterable[Pair]) -> dict[tuple[str, str], None]:
    """The type and id of what these point at outside of their own records."""
    by_record: dict[bytes, tuple[Dossier, dict[str, None]]] = {}
    for dossier, line in pairs:
        by_record.setdefault(dossier.id, (dossier, {}))[1].update(references(line.entry.type, line.entry.values))

    @functools.cache
    def told(type: str) -> bool:
        return is_type(type) and type != "Patient" and room.may_read(type)

    wanted: dict[tuple[str, str], None] = {}
    for dossier, named in by_record.values():  # hundreds of lines name the same few
        for text in named:
            type, _, id = text.partition("/")
            if told(type) and dossier.line(type, id) is None:
                wanted[type, id] = None
    return wanted


async def _located(room: Room, wanted: dict[tuple[str, str], None]) -> list[Pair]:
    if len(wanted) > ALONG_MAX:
        raise too_much()
    located = await room.finder.locate(list(wanted))
    opened = await room.dossiers.open([id for several in located.values() for id in several], fresh=True)
    found = []
    for (type, id), several in located.items():
        registers = [opened[one] for one in several if one in opened and opened[one].kind == REGISTER]
        lines = [(one, entry) for one in registers if (entry := one.line(type, id)) is not None and not entry.deleted]
        found.extend(lines[:1])
    return found


def _spans(entry: IndexEntry, code: str) -> Iterable[tuple[int, int]]:
    known = parameter(entry.type, code)
    for place in known.places if known is not None else ():
        found = entry.values.get(place, ())
        yield from ((int(low), int(high)) for low, high in zip(found[0::2], found[1::2], strict=False))


def _place(pair: Pair) -> Place:
    dossier, line = pair
    return dossier.id, line.entry.type, line.entry.id
