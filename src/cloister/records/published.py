"""What everybody here validates and expands with, read and found like resources: the definitions of R4, and what the trust has loaded.

They belong to no patient and need no key. A resource of the trust's own goes before a published one with its id. One version of each
is known. Spec: http://hl7.org/fhir/R4/conformance-module.html; docs/terminology.md.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloister.base.clock import iso
from cloister.base.errors import NotFound
from cloister.records.fhir.text import encode
from cloister.records.rowids import is_id
from cloister.records.search import IndexEntry, Query, decided, extract, matches, sorted_entries
from cloister.records.stored import Hit, Page, Stored
from cloister.records.terminology.codesystem import CodeSystem
from cloister.records.terminology.pack import KINDS, Entry
from cloister.records.terminology.shelf import library

PUBLISHED: Final = frozenset(KINDS)
MOMENT: Final = datetime(2019, 11, 1, 9, 29, 23, tzinfo=UTC)  # R4 4.0.1; what is loaded says its own `date`
LISTS_MAX: Final = 8
CONCEPTS_MAX: Final = 5000  # of a larger code system only its head is told: content 'not-present'
MARK: Final = "~"  # of these lists' pages, among those of searches
LOOKED_AT_ONCE: Final = 20

Item = Stored | Entry


def published(type: str, id: str) -> Stored | None:
    """The published definition under an id; None where there is none."""
    if type not in PUBLISHED:
        return None
    canonical = library().by_id(type, id)
    place = library().entry(type, canonical) if canonical is not None else None
    return _stored(place[1]) if place is not None and place[1].id == id else None


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[Item, ...]
    count: int
    total: int | None


class Published:
    """The lists of one session whose further pages may be asked for."""

    def __init__(self) -> None:
        self._lists: OrderedDict[str, _List] = OrderedDict()

    def close(self) -> None:
        self._lists.clear()

    async def search(self, query: Query, own: Sequence[Hit], taken: Collection[str]) -> Page | None:
        """The first page of what the trust itself has (`own`) and of what is published; None when nothing published matches.
        `taken`: the ids under which the trust has something of its own."""
        found = [(entry, item) for entry, item in await _matching(query) if item.id not in taken]
        if not found:
            return None
        if query.summary == "count":
            return Page(hits=(), total=len(found))
        items: dict[int, Item] = {id(entry): item for entry, item in found}
        entries = [entry for entry, _ in found]
        for hit in own:
            if hit.mode == "match" and hit.stored.resource is not None:
                stored = hit.stored
                updated = int(stored.updated.timestamp() * 1_000_000)
                entries.append(IndexEntry(stored.type, stored.id, stored.version, updated, extract(stored.resource or {})))
                items[id(entries[-1])] = stored
        ordered = tuple(items[id(entry)] for entry in sorted_entries(query, entries))
        listed = _List(ordered, query.count, len(ordered) if query.total != "none" else None)
        name = ""
        if len(ordered) > query.count:
            name = MARK + secrets.token_urlsafe(12)
            self._lists[name] = listed
            while len(self._lists) > LISTS_MAX:
                self._lists.popitem(last=False)
        return _page(listed, name, 0, [hit for hit in own if hit.mode == "include"])

    def page(self, token: str) -> Page:
        """A further page by its token, '<list>.<offset>'."""
        name, _, offset = token.partition(".")
        listed = self._lists.get(name)
        if listed is None or not offset.isascii() or not offset.isdigit() or len(offset) > 9:
            raise NotFound("This page is no longer kept.", hint="Search again.", reason="page-expired")
        self._lists.move_to_end(name)
        return _page(listed, name, int(offset), [])


async def _matching(query: Query) -> list[tuple[IndexEntry, Entry]]:
    """Decided on each definition itself; only by id or address alone they are not all opened."""
    url = query.term("url")
    wanted = frozenset(text.partition("|")[0] for text in url.exact) if url is not None and url.exact else None
    found: list[tuple[IndexEntry, Entry]] = []
    looked = 0
    for entry in list(library().entries(query.type)):
        if (query.ids is not None and entry.id not in query.ids) or (wanted is not None and entry.url not in wanted) or not is_id(entry.id):
            continue
        stored = _stored(entry)
        resource = stored.resource or {}
        line = IndexEntry(query.type, entry.id, 1, int(stored.updated.timestamp() * 1_000_000), extract(resource))
        if matches(query, line, undecided=True) and decided(query, resource):
            found.append((line, entry))
        looked += 1
        if looked % LOOKED_AT_ONCE == 0:
            await asyncio.sleep(0)  # other requests of this session go on
    return found


def _page(listed: _List, name: str, offset: int, included: Sequence[Hit]) -> Page:
    count = listed.count
    shown = [item if isinstance(item, Stored) else _stored(item) for item in listed.items[offset : offset + count]] if count else []
    return Page(
        hits=(*(Hit(stored=one) for one in shown), *included),
        total=listed.total,
        page=f"{name}.{offset}" if name else None,
        first=f"{name}.0" if name else None,
        previous=f"{name}.{max(0, offset - count)}" if name and offset else None,
        next=f"{name}.{offset + count}" if name and offset + count < len(listed.items) else None,
    )


def _stored(entry: Entry) -> Stored:
    """The definition as a stored version would be: version 1, since its own date."""
    canonical = f"{entry.url}|{entry.version}" if entry.version else entry.url
    known = library()
    resource = _written_out(known.code_system(canonical)) if entry.kind == "CodeSystem" else known.resource(entry.kind, canonical)
    moment = _moment(str(resource.get("date", "")))
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    told = {"versionId": "1", "lastUpdated": iso(moment), **meta}
    rest = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")}
    return Stored(entry.kind, entry.id, 1, moment, encode({"resourceType": entry.kind, "id": entry.id, "meta": told, **rest}))


def _moment(date: str) -> datetime:
    try:
        found = datetime.fromisoformat(date.replace("Z", "+00:00"))
    except ValueError:
        return MOMENT
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _written_out(system: CodeSystem) -> dict[str, Any]:
    """A code system's head and its concepts, one under the other where each has one place at most."""
    head = {name: value for name, value in system.head.items() if name != "id"}
    if system.count > CONCEPTS_MAX:
        return {**head, "content": "not-present", "count": system.count}
    concepts = []
    for number in range(system.count):
        display = system.display(number)
        concepts.append({"code": system.code(number), **({"display": display} if display else {}), **system.detail(number)})
    parents = [system.parents(number) for number in range(system.count)]
    roots = concepts
    if any(parents) and all(len(several) <= 1 for several in parents) and not any("property" in one for one in concepts):
        roots = [concept for concept, several in zip(concepts, parents, strict=True) if not several]
        for concept, several in zip(concepts, parents, strict=True):
            for parent in several:
                concepts[parent].setdefault("concept", []).append(concept)
    return {**head, "count": system.count, **({"concept": roots} if roots else {})}
