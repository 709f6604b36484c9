"""Search: candidates by the cheapest means, decided on opened values, paged by a list that stays in the session.

Spec: http://hl7.org/fhir/R4/search.html. In order: one patient's dossier index; the dossiers of named resources;
tokens; the identity shard; the hospitals' registers; at last every dossier of the session's zones, up to a bound.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cloister.base.errors import Busy, Invalid, NotFound
from cloister.base.wire import Caller
from cloister.records import tokens
from cloister.records.deciding import decide
from cloister.records.definitions import load
from cloister.records.dossier import Dossier, row_of
from cloister.records.dossiers import Dossiers, Notes
from cloister.records.finding import Finder
from cloister.records.including import include
from cloister.records.lines import Line
from cloister.records.linking import Found, linked, too_costly
from cloister.records.search import Query, Targets, matches, sorted_entries
from cloister.records.search.pointing import in_records, names_the_record
from cloister.records.search.query import Kind, Parameter
from cloister.records.shard import Shard
from cloister.records.stored import Hit, Page, Stored

HITS_MAX: Final = 20_000
SCANNED_DOSSIERS_MAX: Final = 20_000
SCAN_SECONDS_MAX: Final = 15.0
SCAN_BATCH: Final = 200
CURSORS_MAX: Final = 32
ATTEMPTS: Final = 4
IN_EVERY_LINE: Final = frozenset({"patient", "subject"})  # of a chart: not worth looking for

Place = tuple[bytes, str, str]  # dossier, type, id
Seen = tuple[bytes, str, str, int]  # and version


@dataclass(slots=True)
class Cursor:
    """A search whose further pages may be asked for."""

    query: Query
    places: list[Place]
    total: int | None


@dataclass(slots=True)
class Scope:
    """Where to look: these dossiers, and of them only these rows when `rows` is given."""

    dossiers: list[bytes]
    rows: frozenset[tuple[bytes, bytes]] | None = None


class Searcher:
    def __init__(
        self, gate: Caller, opened: Dossiers, finder: Finder, shards: Callable[[], Sequence[Shard]], may_read: Callable[[str], bool]
    ) -> None:
        self._gate = gate
        self._dossiers = opened
        self._finder = finder
        self._shards = shards
        self.may_read = may_read
        self._cursors: OrderedDict[str, Cursor] = OrderedDict()

    def close(self) -> None:
        self._cursors.clear()

    async def search(self, query: Query, within: Dossier | None = None) -> Page:
        """The first page. `within` confines it to one opened dossier.

        One chart that is open already is searched as it was last seen: the call that fetches the rows also brings
        what was written since, and then it is searched once more. Where there are no rows to fetch, its head is asked for.
        """
        found, recent = await self.found(query, within, fresh=False)
        if not recent and (query.summary == "count" or not found):
            found, recent = await self.found(query, within, fresh=True)
        if query.summary == "count":
            await self._gate.call("audit_append", entries=notes_of(query, [], within))
            return Page(hits=(), total=len(found))
        seen: dict[Seen, Stored] = {}
        before = None if recent else self._as_seen(found[0][0])
        while True:
            cursor = Cursor(query, [(dossier, line.entry.type, line.entry.id) for dossier, line in found], None)
            matched, included, moved = await self.hits(query, cursor.places[: query.count], within, seen, found)
            if recent or not moved or self._the_same(query, found, before):
                break
            (found, _), recent = await self.found(query, within, fresh=False), True
        cursor.total = len(found) if query.total != "none" else None
        token = ""
        if len(cursor.places) > query.count:
            token = secrets.token_urlsafe(12)
            self._cursors[token] = cursor
            while len(self._cursors) > CURSORS_MAX:
                self._cursors.popitem(last=False)
        return _page_of(cursor, token, 0, matched, included)

    def _as_seen(self, id: bytes) -> frozenset[int]:
        """The parts of a chart's index that a search has looked at."""
        dossier = self._dossiers.get(id)
        return frozenset(dossier.parts) if dossier is not None else frozenset()

    def _the_same(self, query: Query, found: Sequence[Found], before: frozenset[int] | None) -> bool:
        """What others wrote in this one chart since it was searched neither matches nor is a newer version of what was found."""
        dossier = self._dossiers.get(found[0][0])
        if not before or dossier is None or query.includes or query.chains or query.trees or query.filters or query.pointed:
            return False
        added = dossier.added(before, query.type)
        known = {line.entry.id for _, line in found}
        return added is not None and not any(line.entry.id in known or matches(query, line.entry) for line in added)

    async def page(self, token: str) -> Page:
        """A further page by its token, '<cursor>.<offset>'."""
        name, _, offset = token.partition(".")
        cursor = self._cursors.get(name)
        if cursor is None or not offset.isdigit() or int(offset) > len(cursor.places):
            raise NotFound("This page is no longer kept.", hint="Search again.", reason="page-expired")
        self._cursors.move_to_end(name)
        places = cursor.places[int(offset) : int(offset) + cursor.query.count]
        matched, included, _ = await self.hits(cursor.query, places, None, {})
        return _page_of(cursor, name, int(offset), matched, included)

    async def hits(
        self, query: Query, places: Sequence[Place], within: Dossier | None, seen: dict[Seen, Stored], found: Sequence[Found] = ()
    ) -> tuple[list[Hit], list[Hit], set[bytes]]:
        """The rows of a page, what `_include` adds, and the dossiers that had moved; what was `seen` is not fetched again."""
        moved: set[bytes] = set()
        for attempt in range(ATTEMPTS):
            opened = await self._dossiers.open([dossier for dossier, _, _ in places])
            pairs = []
            for place, (dossier, type, id) in enumerate(places):
                # What was found a moment ago is looked up again only when a first attempt has failed.
                line = found[place][1] if found and not attempt else opened[dossier].line(type, id) if dossier in opened else None
                if line is not None and not line.deleted and dossier in opened:
                    pairs.append((opened[dossier], line))
            others = await include(query, pairs, self._dossiers, self._finder, self.may_read, self._plain) if query.includes else []
            wanted = {_seen(pair): pair for pair in (*pairs, *others)}
            missing = {key: pair for key, pair in wanted.items() if key not in seen}
            if missing or not seen:
                stored, newly = await self._dossiers.rows([*missing.values()], notes_of(query, pairs, within))
                moved |= newly
                seen.update((key, one) for key, one in zip(missing, stored, strict=True) if one is not None)
            hits = [Hit(stored=seen[key], mode="match" if n < len(pairs) else "include") for n, key in enumerate(wanted) if key in seen]
            if len(hits) == len(wanted):
                return hits[: len(pairs)], hits[len(pairs) :], moved
        raise Busy("These records are being written too quickly to be read.", hint="Try again.")

    # --- candidates ---------------------------------------------------------------------------------------

    async def found(
        self, query: Query, within: Dossier | None = None, *, fresh: bool = True, among: Sequence[bytes] | None = None
    ) -> tuple[list[Found], bool]:
        """All matches that this session can open, in the order asked for; and whether the heads were asked for just now.

        `among`: the dossiers to look through, instead of all, where the query does not tell itself where to look.
        """
        scope = Scope([within.id]) if within is not None else await self._told(query)
        links = await linked(query, self, self._finder, scope.dossiers if scope is not None else among)
        if links.in_vain:
            return [], True
        if within is None and links.confined is not None:
            scope = _narrower(scope, links.confined)
        chained = tokens.groups_of_chains(query, links.targets) if scope is None and among is None else None
        if chained is not None:
            scope = await self._by_tokens(query, chained)
        if scope is None:
            scope = Scope(list(among)) if among is not None else await self._everybody(query)
        recent = True
        if scope is None:
            found = await self._scan(query, links.targets)
        elif len(scope.dossiers) > SCAN_BATCH:
            found = await self._one_after_another(query, links.targets, scope)
        else:
            recent = fresh or query.undecided or len(scope.dossiers) != 1 or self._dossiers.get(scope.dossiers[0]) is None
            opened = await self._dossiers.open(scope.dossiers, fresh=recent)
            found = self._matching(query, opened.values(), links.targets, scope.rows)
        if query.undecided:
            found = await decide(query, found, links.targets, self._dossiers)
        by_entry = {id(line.entry): (dossier, line) for dossier, line in found}
        return [by_entry[id(entry)] for entry in sorted_entries(query, [line.entry for _, line in found])], recent

    async def inner(self, query: Query, among: Sequence[bytes] | None) -> list[Found]:
        """A search inside another (linking.py)."""
        return (await self.found(query, among=among))[0]

    async def _plain(self, query: Query) -> list[Found]:
        return await self.inner(query, None)

    async def _one_after_another(self, query: Query, targets: Targets, scope: Scope) -> list[Found]:
        """Many dossiers that are known by name, opened in batches, so that not all need be kept."""
        found: list[Found] = []
        end = time.monotonic() + SCAN_SECONDS_MAX
        for start in range(0, len(scope.dossiers), SCAN_BATCH):
            opened = await self._dossiers.open(scope.dossiers[start : start + SCAN_BATCH], fresh=True)
            found.extend(self._matching(query, opened.values(), targets, scope.rows))
            if len(found) > HITS_MAX or time.monotonic() > end:
                raise too_costly(query)
            await asyncio.sleep(0)  # other requests of this session go on
        return found

    def _matching(
        self,
        query: Query,
        dossiers: Iterable[Dossier],
        targets: Targets,
        rows: frozenset[tuple[bytes, bytes]] | None,
    ) -> list[Found]:
        found: list[Found] = []
        needles = needles_of(query)
        for dossier in dossiers:
            before = dossier.bytes_kept
            for line in dossier.candidates(query.type, needles):
                if matches(query, line.entry, targets=targets, undecided=True) and (rows is None or (dossier.id, row_of(line)) in rows):
                    found.append((dossier.id, line))
            if dossier.bytes_kept != before:
                self._dossiers.keep(dossier)
            if len(found) > HITS_MAX:
                raise too_costly(query)
        return found

    async def _told(self, query: Query) -> Scope | None:
        """Where the query's own terms say to look. Where they say too many places, a chain may say fewer."""
        try:
            return await self._scope(query)
        except Invalid as costly:
            if costly.reason != "too-costly" or not (query.chains or query.pointed or query.trees):
                raise
        return None

    async def _scope(self, query: Query) -> Scope | None:
        """The dossiers in which all matches must be; None when the query's own terms do not tell."""
        patients = query.patients()
        if patients is not None:
            located = await self._finder.patients([text.removeprefix("Patient/") for text in patients])
            found = [dossier for several in located.values() for dossier in several]
            if query.type != "Patient" and not any(names_the_record(one) for one in _about(query)):
                found += await self._finder.pointing(query.type, patients)
            return Scope(list(dict.fromkeys(found)))
        own = [f"{query.type}/{one}" for one in sorted(query.ids)] if query.ids is not None else None
        named = own if own is not None else _named(query)
        if named is not None:
            there = await self._finder.locate([(type, one) for type, _, one in (text.partition("/") for text in named)])
            found = [dossier for several in there.values() for dossier in several]
            return Scope(list(dict.fromkeys(found if own is not None else [*found, *await self._finder.pointing(query.type, named)])))
        groups = tokens.groups_of(query)
        if groups is not None:
            return await self._by_tokens(query, groups)
        if query.type == "Patient" and any(term.parameter is not None for term in query.terms):
            return await self._in_shards(query)
        return None

    async def _by_tokens(self, query: Query, groups: list[list[str]]) -> Scope:
        rows = await self._finder.find(query.type, groups)
        if len(rows) >= HITS_MAX // 4:
            raise too_costly(query)
        return Scope(list(dict.fromkeys(dossier for dossier, _ in rows)), frozenset(rows))

    async def _everybody(self, query: Query) -> Scope | None:
        """Everybody, or every register; None when all dossiers must be looked through."""
        if query.type == "Patient":
            return await self._in_shards(query)
        if query.type not in load().compartment and query.type != "Binary":  # of which some lie in patients' records
            return Scope(await self._finder.registers(fresh=True))
        return None

    async def _in_shards(self, query: Query) -> Scope:
        """People by name, birth date, gender: from the zones' sealed lists of people, in memory."""
        # What stands at the other end of links is decided on opened values.
        plain = replace(query, chains=(), pointed=(), trees=(), filters=())
        dossiers: dict[bytes, None] = {}
        needles = needles_of(plain)
        for shard in self._shards():
            async for person in shard.people(needles):
                if not person.deleted and matches(plain, person.entry, undecided=True):
                    dossiers[person.dossier] = None
            if len(dossiers) > HITS_MAX:
                raise too_costly(query)
        return Scope(list(dossiers))

    async def _scan(self, query: Query, targets: Targets) -> list[Found]:
        """Every dossier that this session can open, one batch after another, within bounds of number and time."""
        found: list[Found] = []
        after, seen, end = bytes(16), 0, time.monotonic() + SCAN_SECONDS_MAX
        while True:
            rows = await self._gate.call("dossiers", after=after, limit=SCAN_BATCH)
            if not rows:
                return found
            after, seen = rows[-1][0], seen + len(rows)
            if seen > SCANNED_DOSSIERS_MAX or time.monotonic() > end:
                raise too_costly(query)
            opened = await self._dossiers.open([id for id, _, _ in rows], at_least={id: seq for id, _, seq in rows})
            found.extend(self._matching(query, opened.values(), targets, None))
            if len(found) > HITS_MAX:
                raise too_costly(query)
            await asyncio.sleep(0)  # other requests of this session go on


def _narrower(scope: Scope | None, confined: list[bytes]) -> Scope:
    if scope is None:
        return Scope(confined)
    also = set(confined)
    return Scope([one for one in scope.dossiers if one in also], scope.rows)


def needles_of(query: Query) -> list[list[bytes]]:
    """What must stand in the bytes of a matching line, for the terms that tell."""
    told = [term for term in query.terms if term.parameter is not None and term.parameter.code not in IN_EVERY_LINE]
    return [
        [text.encode() for text in (term.parts or (*(term.exact or ()), *term.ends))]
        for term in told
        if term.parts or term.exact is not None
    ]


def _seen(pair: tuple[Dossier, Line]) -> Seen:
    dossier, line = pair
    return dossier.id, line.entry.type, line.entry.id, line.entry.version


def _page_of(cursor: Cursor, token: str, offset: int, matched: Sequence[Hit], included: Sequence[Hit]) -> Page:
    count = cursor.query.count
    last = (len(cursor.places) - 1) // count * count if cursor.places else 0
    return Page(
        hits=(*matched, *included),
        total=cursor.total,
        page=f"{token}.{offset}" if token else None,
        first=f"{token}.0" if token else None,
        previous=f"{token}.{max(0, offset - count)}" if token and offset else None,
        next=f"{token}.{offset + count}" if token and offset < last else None,
    )


def _about(query: Query) -> Iterator[Parameter]:
    """The parameters by which `Query.patients` finds the patients."""
    for code in IN_EVERY_LINE:
        term = query.term(code)
        if term is not None and term.parameter is not None and term.exact and all(one.startswith("Patient/") for one in term.exact):
            yield term.parameter


def _named(query: Query) -> list[str] | None:
    """References to resources of a patient's dossier, such as encounter=Encounter/1: what points at them lies beside them, or
    has a token that says so."""
    for term in query.terms:
        known = term.parameter
        if known is None or known.kind is not Kind.REFERENCE or not term.exact or term.modifier == "identifier":
            continue
        if all(text.count("/") == 1 and in_records(text.partition("/")[0]) for text in term.exact):
            return list(term.exact)
    return None


def notes_of(query: Query, pairs: Sequence[tuple[Dossier, Line]], within: Dossier | None) -> Notes:
    """One audit note for each dossier of which something is shown; one for a search that showed nothing."""
    shown = dict.fromkeys(dossier.name for dossier, _ in pairs)
    if within is not None:
        shown[within.name] = None
    return [{"action": "search", "kind": query.type or "Resource", "object": name} for name in shown or {"": None}]
