"""The records of one session, in memory: what the FHIR face talks to in these tests. No keys, no gate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cloister.base.clock import iso
from cloister.base.errors import CloisterError, Conflict, Denied, NotFound
from cloister.records.elements import Parts
from cloister.records.fhir.text import encode
from cloister.records.search import IndexEntry, Query, extract, included_by, matches, sorted_entries, together
from cloister.records.stored import DELETED, Elsewhere, Hit, Outcome, Page, Stored, Written
from cloister.records.terminology.closure import Closures
from cloister.records.validation import InvalidResource, check

START = datetime(2026, 11, 22, 8, 0, 0, 123000, UTC)


class RecordsInMemory:
    """Keeps every version. Resources whose id begins with 'sealed' exist and are not open to this session."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], list[Stored]] = {}
        self.pages: dict[str, tuple[Query, list[Stored], int]] = {}
        self.seen: list[tuple[str, Any]] = []
        self.closures = Closures()
        self._number = itertools.count(1)

    async def exported(self, type: str) -> None:
        self.seen.append(("exported", type))

    def _put(self, resource: dict[str, Any], id: str) -> Stored:
        check(resource)
        key = (resource["resourceType"], id)
        versions = self.versions.setdefault(key, [])
        number, updated = len(versions) + 1, START + timedelta(seconds=next(self._number))
        meta = resource.get("meta", {}) | {"versionId": str(number), "lastUpdated": iso(updated)}
        raw = encode({"resourceType": key[0], "id": id, "meta": meta} | {k: v for k, v in resource.items() if k not in ("id", "meta")})
        versions.append(Stored(key[0], id, number, updated, raw))
        return versions[-1]

    def _versions(self, type: str, id: str) -> list[Stored]:
        if id.startswith("sealed"):
            raise NotFound(f"The dossier of {type} {id} is in a zone that you do not hold.", hint="secret", reason="zone")
        if (type, id) not in self.versions:
            raise NotFound("No row.")
        return self.versions[type, id]

    async def read(self, type: str, id: str) -> Stored:
        stored = self._versions(type, id)[-1]
        if stored.deleted:
            raise NotFound(f"{type}/{id} was deleted.", reason=DELETED)
        return stored

    async def vread(self, type: str, id: str, version: int) -> Stored:
        versions = self._versions(type, id)
        if version > len(versions):
            raise NotFound("No such version.")
        if versions[version - 1].deleted:
            raise NotFound(f"This version deleted {type}/{id}.", reason=DELETED)
        return versions[version - 1]

    async def history(self, type: str, id: str) -> list[Stored]:
        return self._versions(type, id)[::-1]

    async def create(self, resource: dict[str, Any], *, zone: str | None = None, if_none_exist: Query | None = None) -> Written:
        self.seen.append(("zone", zone))
        if resource.get("status") == "cancelled":
            raise Denied("Nurses do not write this.", reason="role")
        if if_none_exist is not None:
            found = self._found(if_none_exist)
            if len(found) > 1:
                raise Conflict("Several resources match.", reason="multiple-matches")
            if found:
                return Written(stored=found[0])
        return Written(stored=self._put(resource, f"made-{next(self._number)}"), created=True)

    async def update(self, resource: dict[str, Any], *, if_match: int | None = None, zone: str | None = None) -> Written:
        known = self.versions.get((resource["resourceType"], resource["id"]), [])
        if if_match is not None and len(known) != if_match:
            raise Conflict("It has changed since you read it.", hint="Read it again.")
        return Written(stored=self._put(resource, resource["id"]), created=not known)

    async def delete(self, type: str, id: str, *, if_match: int | None = None) -> None:
        versions = self._versions(type, id)
        if if_match is not None and len(versions) != if_match:
            raise Conflict("It has changed since you read it.")
        versions.append(Stored(type, id, len(versions) + 1, START + timedelta(seconds=next(self._number)), b""))

    def _matched(self, query: Query) -> Stored | None:
        found = self._found(query)
        if len(found) > 1:
            raise Conflict("Several resources match.", reason="multiple-matches")
        return found[0] if found else None

    async def update_where(
        self, resource: dict[str, Any], query: Query, *, if_match: int | None = None, zone: str | None = None
    ) -> Written:
        matched = self._matched(query)
        if matched is None:
            return await self.create(resource, zone=zone)
        return await self.update(resource | {"id": matched.id}, if_match=if_match, zone=zone)

    async def delete_where(self, query: Query, *, if_match: int | None = None) -> Stored | None:
        matched = self._matched(query)
        if matched is not None:
            await self.delete(matched.type, matched.id, if_match=if_match)
        return matched

    async def matching(self, query: Query) -> Stored | None:
        return self._matched(query)

    def _current(self) -> Iterable[Stored]:
        return (versions[-1] for (_, id), versions in self.versions.items() if not versions[-1].deleted and not id.startswith("sealed"))

    def _found(self, query: Query) -> list[Stored]:
        entries = {}
        for stored in self._current():
            moment = int(stored.updated.timestamp() * 1_000_000)
            entry = IndexEntry(stored.type, stored.id, stored.version, moment, extract(stored.resource or {}))
            if matches(query, entry):
                entries[stored.reference] = entry
        ordered = sorted_entries(query, entries.values())
        return [self.versions[entry.type, entry.id][-1] for entry in ordered]

    async def search(self, query: Query) -> Page:
        self.seen.append(("search", query))
        found = self._found(query)
        if query.summary == "count":
            return Page(hits=(), total=len(found))
        self.pages["token"] = (query, found, len(found))
        return await self.page("token.0")

    async def search_types(self, queries: Sequence[Query], *, patient: str | None = None, named: bool = True) -> Page:
        self.seen.append(("search_types", ([query.type for query in queries], patient, named)))
        found = [stored for query in queries for stored in self._found(query)]
        self.pages["token"] = (together(queries), found, len(found))
        return await self.page("token.0")

    async def page(self, token: str) -> Page:
        name, _, start = token.partition(".")
        if name not in self.pages:
            raise NotFound("This page is no longer kept.", hint="Search again.", reason="page-expired")
        query, found, total = self.pages[name]
        here = found[int(start) : int(start) + query.count]
        hits = [Hit(stored=stored) for stored in here]
        wanted = {
            reference
            for stored in here
            for include in query.includes
            for reference in included_by(include, IndexEntry(stored.type, stored.id, 1, 0, extract(stored.resource or {})))
        }
        hits += [Hit(stored=stored, mode="include") for stored in self._current() if stored.reference in wanted]
        after = int(start) + query.count
        return Page(hits=tuple(hits), total=total, page=token, next=f"token.{after}" if after < total else None)

    async def subscription_status(self, id: str) -> tuple[Stored, list[Any] | None]:
        return await self.read("Subscription", id), None

    async def transaction(self, bundle: dict[str, Any], *, zone: str | None = None, idempotent: bool = False) -> list[Outcome]:
        self.seen.append(("transaction", idempotent))
        sent = [entry["resource"] for entry in bundle.get("entry", [])]
        resources = [one.whole() if isinstance(one, Parts) else one for one in sent]
        for number, resource in enumerate(resources):
            try:
                check(resource)
            except InvalidResource as wrong:
                wrong.expression = f"Bundle.entry[{number}].resource"
                raise
        return [Outcome(status="201 Created", stored=self._put(one, f"made-{next(self._number)}")) for one in resources]

    async def batch(self, bundle: dict[str, Any], *, zone: str | None = None, elsewhere: Elsewhere | None = None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for entry in bundle.get("entry", []):
            try:
                if entry["request"]["method"] == "GET":
                    type, _, id = entry["request"]["url"].partition("/")
                    outcomes.append(Outcome(status="200 OK", stored=await self.read(type, id)))
                else:
                    outcomes.append(Outcome(status="201 Created", stored=(await self.create(entry["resource"])).stored))
            except CloisterError as problem:
                outcomes.append(Outcome(status="", problem=problem))
        return outcomes
