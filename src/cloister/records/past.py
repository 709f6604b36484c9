"""The history of a type, or of everything: which versions came when. http://hl7.org/fhir/R4/http.html#history.

It goes through the records that this session can open and no others, so its total, its order and its pages tell
nothing of the rest. Each version is proved by the chain of hashes in its dossier's signed index. A list of all that
was ever written is bounded; `_since` makes it short.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.access import Action
from cloister.base.errors import Busy, Invalid, NotFound
from cloister.records.changing import proved
from cloister.records.definitions import load, type_numbers
from cloister.records.dossier import EPOCH, Dossier, row_of
from cloister.records.dossiers import Notes
from cloister.records.lines import Line
from cloister.records.room import Room
from cloister.records.search.entry import TIME_MIN
from cloister.records.stored import Stored

VERSIONS_MAX: Final = 20_000
EARLIER_MAX: Final = 10_000  # versions that must be opened to know when they were written
SCANNED_DOSSIERS_MAX: Final = 20_000
SCAN_SECONDS_MAX: Final = 15.0
SCAN_BATCH: Final = 200
ROWS_AT_ONCE: Final = 2000  # the gate gives at most 5,000
LISTS_MAX: Final = 16
ATTEMPTS: Final = 4

Place = tuple[bytes, str, str]  # dossier, type, id
Pair = tuple[Dossier, Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which versions: those written at `since` or later; and with `at`, those that were current at some moment of it."""

    since: int = TIME_MIN
    at: tuple[int, int] | None = None

    def wants(self, updated: int, until: int | None, *, deleted: bool) -> bool:
        """`until`: when the next version came."""
        if updated < self.since:
            return False
        if self.at is None:
            return True
        low, high = self.at
        return updated < high and (until is None or until > low) and not (deleted and updated < low)

    def chosen(self, versions: Sequence[Stored]) -> list[Stored]:
        """Of all versions of one resource, newest first."""
        times = [microseconds(one) for one in versions]
        return [
            one for place, one in enumerate(versions) if self.wants(times[place], times[place - 1] if place else None, deleted=one.deleted)
        ]


@dataclass(frozen=True, slots=True)
class History:
    """One page; `next` is a token for `Histories.page`."""

    versions: tuple[Stored, ...]
    total: int
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    places: tuple[tuple[Place, int], ...]  # and the version
    count: int
    kind: str


def microseconds(stored: Stored) -> int:
    return round((stored.updated - EPOCH).total_seconds() * 1000) * 1000


class Histories:
    """The histories of one session whose further pages may be asked for. The list stays as it was when it was made."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    async def first(self, type: str | None, span: Span, count: int) -> History:
        """Newest first, of one type or of all that this session may read."""
        room = self._room
        if type is not None:
            await room.permit(Action.HISTORY, type)
        types = [type] if type is not None else [one for one in load().types if room.may_read(one)]
        if not types:
            await room.permit(Action.HISTORY, "Patient")
        found = await self._versions(types, span)
        found.sort(key=lambda one: (-one[0], one[1], -one[2]))
        kept = Kept(tuple((place, version) for _, place, version in found), count, type or "history")
        token = ""
        if len(found) > count:
            token = secrets.token_urlsafe(12)
            self._kept[token] = kept
            while len(self._kept) > LISTS_MAX:
                self._kept.popitem(last=False)
        return await self._page(kept, token, 0)

    async def page(self, token: str) -> History:
        name, _, offset = token.partition(".")
        kept = self._kept.get(name)
        if kept is None or not offset.isascii() or not offset.isdigit() or len(offset) > 9:
            raise NotFound("This page is no longer kept.", hint="Ask for the first one again.", reason="page-expired")
        self._kept.move_to_end(name)
        return await self._page(kept, name, int(offset))

    def close(self) -> None:
        self._kept.clear()

    async def _page(self, kept: Kept, token: str, offset: int) -> History:
        after = offset + kept.count
        wanted = kept.places[offset:after]
        opened = await self._room.dossiers.open([place[0] for place, _ in wanted])
        pairs: dict[Place, Pair] = {}
        for place, _ in wanted:
            dossier = opened.get(place[0])
            line = dossier.line(place[1], place[2]) if dossier is not None else None
            if dossier is not None and line is not None:
                pairs[place] = (dossier, line)
        names = dict.fromkeys(dossier.name for dossier, _ in pairs.values()) or {"": None}
        notes = [{"action": Action.HISTORY.value, "kind": kept.kind, "object": name} for name in names]
        versions = await versions_of_many(self._room, pairs, notes)
        by_number = {(place, one.version): one for place, several in versions.items() for one in several}
        shown = tuple(by_number[one] for one in wanted if one in by_number)
        return History(shown, len(kept.places), f"{token}.{after}" if token and after < len(kept.places) else None)

    async def _versions(self, types: Sequence[str], span: Span) -> list[tuple[int, Place, int]]:
        """(moment, place, version) of all that is wanted."""
        found: list[tuple[int, Place, int]] = []
        changed: dict[Place, Pair] = {}
        earlier = 0
        after, seen, end = bytes(16), 0, time.monotonic() + SCAN_SECONDS_MAX
        while rows := await self._room.gate.call("dossiers", after=after, limit=SCAN_BATCH):
            after, seen = rows[-1][0], seen + len(rows)
            opened = await self._room.dossiers.open([id for id, _, _ in rows], at_least={id: seq for id, _, seq in rows})
            for dossier in opened.values():
                for type in sorted(set(types) & set(dossier.types())):
                    for line in dossier.lines(type).values():
                        entry = line.entry
                        if entry.updated < span.since:
                            continue
                        place = (dossier.id, type, entry.id)
                        if entry.version > 1:
                            changed[place] = (dossier, line)
                            earlier += entry.version
                        elif span.wants(entry.updated, None, deleted=line.deleted):
                            found.append((entry.updated, place, 1))
                self._room.dossiers.keep(dossier)
            if seen > SCANNED_DOSSIERS_MAX or time.monotonic() > end or len(found) > VERSIONS_MAX or earlier > EARLIER_MAX:
                raise _too_costly()
            await asyncio.sleep(0)  # other requests of this session go on
        for place, versions in (await versions_of_many(self._room, changed, [])).items():
            found.extend((microseconds(one), place, one.version) for one in span.chosen(versions))
        if len(found) > VERSIONS_MAX:
            raise _too_costly()
        return found


def _too_costly() -> Invalid:
    return Invalid(
        "This history is too long to be given.",
        hint="Add _since, or ask for one type or for the history of one resource.",
        reason="too-costly",
        expression="_since",
    )


async def versions_of_many(room: Room, pairs: dict[Place, Pair], notes: Notes) -> dict[Place, list[Stored]]:
    """All versions of these resources, each list newest first and proved; what is closed by now is left out."""
    found: dict[Place, list[Stored]] = {}
    left, first = dict(pairs), True
    for _ in range(ATTEMPTS):
        for batch in _batches(left):
            rows = await room.gate.call(
                "past",
                dossiers=[dossier.id for dossier, _ in batch.values()],
                rtypes=[type_numbers()[type] for _, type, _ in batch],
                ids=[row_of(line) for _, line in batch.values()],
                audit=notes if first else [],
            )
            first = False
            _take(room, batch, rows, found)
        left = {place: pair for place, pair in left.items() if place not in found}
        if not left:
            return found
        opened = await room.dossiers.open([place[0] for place in left], fresh=True)  # written meanwhile
        again = {place: (opened[place[0]], opened[place[0]].line(place[1], place[2])) for place in left if place[0] in opened}
        left = {place: (dossier, line) for place, (dossier, line) in again.items() if line is not None}
        if not left:
            return found
    raise Busy("These records are being written too quickly to be read.", hint="Try again.")


def _take(room: Room, batch: dict[Place, Pair], rows: Sequence[Any], found: dict[Place, list[Stored]]) -> None:
    """Those whose dossier is as it is known; the others are asked for again."""
    by_place: dict[int, list[Any]] = {}
    for place, *row in rows:
        by_place.setdefault(place, []).append(row)
    for number, (place, (dossier, line)) in enumerate(batch.items(), start=1):
        of_it = by_place.get(number, [])
        if of_it and of_it[0][0] == dossier.seq:
            found[place] = proved(room, dossier, line, of_it)


def _batches(pairs: dict[Place, Pair]) -> list[dict[Place, Pair]]:
    """So few at once that the gate's bound on rows cuts none short; at least one, so that the audit is told."""
    batches: list[dict[Place, Pair]] = [{}]
    rows = 0
    for place, pair in pairs.items():
        rows += pair[1].entry.version
        if rows > ROWS_AT_ONCE and batches[-1]:
            batches.append({})
            rows = pair[1].entry.version
        batches[-1][place] = pair
    return batches
