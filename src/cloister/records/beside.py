"""Definitions that nobody wrote here, beside what the record itself holds of their types: read and found like any resource.

Spec: http://hl7.org/fhir/R4/http.html#read, search.html. What the trust stored goes first: a published definition is not seen where
this session can open one of the same id, or in a search one of the same address and version. They are no patient's, so no key opens
them; the policy decides and the audit is told as of every reading. None is ever written (placing.py refuses).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.access import Action
from cloister.base.errors import NotFound
from cloister.records.dossier import Dossier
from cloister.records.linking import Found, too_costly
from cloister.records.room import Room
from cloister.records.search import IndexEntry, Query, decided, matches, parameter, sorted_entries, together
from cloister.records.searching import HITS_MAX, SCAN_SECONDS_MAX, notes_of
from cloister.records.searching import Place as OwnPlace
from cloister.records.stored import Hit, Page, Stored
from cloister.records.terminology import shelf
from cloister.records.terminology.catalogue import TYPES, Place, Published

MARK: Final = "~"  # begins the token of a page that may hold such definitions
CURSORS_MAX: Final = 16
PAGE_BYTES_MAX: Final = 8 * 1024 * 1024  # of published definitions; a page that would be longer ends earlier
AT_ONCE: Final = 200


@dataclass(slots=True)
class Cursor:
    """A search whose further pages may be asked for; each page begins at one of `starts`."""

    query: Query
    places: list[OwnPlace | Place]
    starts: list[int]
    total: int | None


class Beside:
    """The published definitions, as one session reads them."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._cursors: OrderedDict[str, Cursor] = OrderedDict()

    def close(self) -> None:
        self._cursors.clear()

    async def read(self, action: Action, type: str, id: str, own: Awaitable[Stored]) -> Stored:
        """What the session has of its own under this id, else what is published."""
        try:
            return await own
        except NotFound:
            place = shelf.catalogue().get(type, id)
            if place is None:
                raise
        return await self._told(action, place)

    async def versions(self, type: str, id: str, own: Awaitable[list[Stored]]) -> list[Stored]:
        """The one version of a published definition, where the session has none of its own."""
        try:
            return await own
        except NotFound:
            place = shelf.catalogue().get(type, id)
            if place is None:
                raise
        return [await self._told(Action.HISTORY, place)]

    async def _told(self, action: Action, place: Place) -> Published:
        """The definition, once the audit is told; its id is nobody's secret."""
        note = {"action": action.value, "kind": place.row.type, "object": f"{place.row.type}/{place.row.id}"}
        await self._room.gate.call("audit_append", entries=[note])
        return Published(place)

    async def search(self, queries: Sequence[Query], within: Dossier | None = None) -> Page:
        """The first page of what matches one of these, each about a type of its own: of the record, and of what is published.

        `within` confines it to one opened dossier.
        """
        searcher = self._room.searcher
        query = together(queries)
        published = [one for each in queries for one in await self._seen(each)] if within is None else []
        if not published and len(queries) == 1:
            return await searcher.search(query, within)
        own: list[Found] = []
        end = time.monotonic() + SCAN_SECONDS_MAX  # for all types together
        for number, each in enumerate(queries):
            found, _ = await searcher.found(each, within, fresh=within is None or not number)  # of one chart, one head
            own += found
            if len(own) > HITS_MAX or time.monotonic() > end:
                raise too_costly(each)
        if query.summary == "count":
            await self._room.gate.call("audit_append", entries=notes_of(query, [], within))
            return Page(hits=(), total=len(own) + len(published))
        places: dict[int, OwnPlace | Place] = {id(line.entry): (dossier, line.entry.type, line.entry.id) for dossier, line in own}
        places |= {id(entry): place for entry, place in published}
        entries = sorted_entries(query, [*(line.entry for _, line in own), *(entry for entry, _ in published)])
        ordered = [places[id(entry)] for entry in entries]
        cursor = Cursor(query, ordered, _starts(ordered, query.count), len(ordered) if query.total != "none" else None)
        token = ""
        if len(cursor.starts) > 1:
            token = MARK + secrets.token_urlsafe(12)
            self._cursors[token] = cursor
            while len(self._cursors) > CURSORS_MAX:
                self._cursors.popitem(last=False)
        return await self._page(cursor, token, 0)

    async def page(self, token: str) -> Page:
        """A further page by its token, '~<cursor>.<offset>'."""
        name, _, offset = token.partition(".")
        cursor = self._cursors.get(name)
        if cursor is None or not offset.isascii() or not offset.isdigit() or len(offset) > 9 or int(offset) not in cursor.starts:
            raise NotFound("This page is no longer kept.", hint="Search again.", reason="page-expired")
        self._cursors.move_to_end(name)
        return await self._page(cursor, name, int(offset))

    async def _page(self, cursor: Cursor, token: str, start: int) -> Page:
        at = cursor.starts.index(start)
        after = cursor.starts[at + 1] if at + 1 < len(cursor.starts) else len(cursor.places)
        shown = cursor.places[start:after]
        own = [place for place in shown if not isinstance(place, Place)]
        matched, included, _ = await self._room.searcher.hits(cursor.query, own, None, {})  # and the audit is told
        stored = {(hit.stored.type, hit.stored.id): hit for hit in matched}
        hits = [Hit(stored=Published(one)) if isinstance(one, Place) else stored.get(one[1:]) for one in shown]
        return Page(
            hits=(*(hit for hit in hits if hit is not None), *included),
            total=cursor.total,
            page=f"{token}.{start}" if token else None,
            first=f"{token}.0" if token else None,
            previous=f"{token}.{cursor.starts[at - 1]}" if token and at else None,
            next=f"{token}.{after}" if token and after < len(cursor.places) else None,
        )

    async def _seen(self, query: Query) -> list[tuple[IndexEntry, Place]]:
        """The published definitions that match and that nothing of the trust's own stands in place of."""
        found = await self._matching(query) if query.type in TYPES else []
        return _not_hidden(query.type, found, (await self._room.searcher.found(Query(type=query.type)))[0]) if found else []

    async def _matching(self, query: Query) -> list[tuple[IndexEntry, Place]]:
        """The published definitions that match. Chains, `_has`, `_list` and trees are about the record: none matches them here."""
        catalogue = shelf.catalogue()
        found: list[tuple[IndexEntry, Place]] = []
        for number, (entry, place) in enumerate(catalogue.entries(_candidates(query)), start=1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # other requests of this session go on
            if matches(query, entry, undecided=True) and (not query.undecided or decided(query, Published(place).resource or {})):
                found.append((entry, place))
        return found


def _candidates(query: Query) -> list[Place]:
    """The places among which all matches are: those of the ids or addresses asked for, or all of the type."""
    catalogue = shelf.catalogue()
    if query.ids is not None:
        return [place for one in sorted(query.ids) if (place := catalogue.get(query.type, one)) is not None]
    term = query.term("url")
    if term is not None and term.exact:
        return [place for place in catalogue.places(query.type) if place.row.url in term.exact]
    return [*catalogue.places(query.type)]


def _not_hidden(type: str, published: Sequence[tuple[IndexEntry, Place]], own: Sequence[Found]) -> list[tuple[IndexEntry, Place]]:
    """Without those in whose place the trust has its own, by id or by address and version."""
    ids = {line.entry.id for _, line in own}
    addresses = {_address(type, line.entry) for _, line in own}
    return [(entry, place) for entry, place in published if entry.id not in ids and _address(type, entry) not in addresses]


def _address(type: str, entry: IndexEntry) -> tuple[Any, ...]:
    """Its url and version as searches see them; of what has no url, its id alone counts."""
    url, version = (parameter(type, code) for code in ("url", "version"))
    found = tuple(url.values(entry.values)) if url is not None else ()
    return (found, tuple(version.values(entry.values)) if version is not None else ()) if found else (entry.id,)


def _starts(places: Sequence[OwnPlace | Place], count: int) -> list[int]:
    """Where each page begins: after `count` entries, or before more bytes than one page may have."""
    starts, size = [0], 0
    for number, place in enumerate(places):
        length = place.row.length if isinstance(place, Place) else 0
        if number - starts[-1] >= count or (number > starts[-1] and size + length > PAGE_BYTES_MAX):
            starts.append(number)
            size = 0
        size += length
    return starts
