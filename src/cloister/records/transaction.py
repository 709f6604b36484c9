"""transaction and batch: http://hl7.org/fhir/R4/http.html#transaction.

A transaction is one write of all its dossiers: ids are given, references between entries rewritten, everything
checked, sealed and stored, or nothing is. Its reads and searches are answered afterwards, on what it wrote.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from cloister.access import Action
from cloister.base.errors import CloisterError, Conflict, Invalid, NotFound, Unsupported
from cloister.base.ids import new_id
from cloister.records.commit import Built
from cloister.records.conditional import check_same_id, matching, one_match, several_match
from cloister.records.definitions import is_type
from cloister.records.draft import Draft
from cloister.records.elements import Parts
from cloister.records.fhir.patching import of_entry, patched
from cloister.records.fhir.references import rewrite
from cloister.records.placing import Change, Planner
from cloister.records.room import Room
from cloister.records.rowids import check_id, uuid_row
from cloister.records.search import IndexEntry, Query, decided, extract, matches, parse, parse_url
from cloister.records.search.parse import pairs_of
from cloister.records.sharing import share
from cloister.records.stored import Outcome, Stored
from cloister.records.subscribed import TYPE as SUBSCRIPTION
from cloister.records.validation import check

ENTRIES_MAX: Final = 20_000
URN: Final = "urn:uuid:"
ADDRESS: Final = re.compile(r"(https?://[^?#]{1,2000})/([A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64})")
WRITES: Final = {"POST": Action.CREATE, "PUT": Action.UPDATE, "PATCH": Action.UPDATE, "DELETE": Action.DELETE}
READS: Final = frozenset({"GET", "HEAD"})
CONDITIONAL: Final = frozenset({"PUT", "PATCH", "DELETE"})  # by what follows '?' in the address
MIND: Final = "Mind upper and lower case: Patient, Observation."


@dataclass(slots=True)
class Entry:
    """One entry, read: either it changes a resource, or stands for one that matched, or is to be read afterwards."""

    number: int
    method: str
    url: str
    base: str = ""  # of a fullUrl that is an address: base/Type/id
    condition: Query | None = None
    change: Change | None = None
    matched: Stored | None = None

    @property
    def place(self) -> str:
        return f"Bundle.entry[{self.number}]"


def entries_of(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The entries of a bundle of this kind; raises Invalid with the place for what is no such bundle."""
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != kind:
        raise Invalid(f"This is no Bundle of type '{kind}'.", hint=f'Send "type": "{kind}".', expression="Bundle.type")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or len(entries) > ENTRIES_MAX:
        raise Invalid(f"A Bundle has at most {ENTRIES_MAX} entries.", hint="Split it.", expression="Bundle.entry")
    for number, entry in enumerate(entries):
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("method"), str) or not isinstance(request.get("url"), str):
            raise Invalid(
                "An entry has no request.", hint="Give each entry request.method and request.url.", expression=f"Bundle.entry[{number}]"
            )
    return entries


class Transaction:
    """One transaction bundle on its way in."""

    def __init__(self, room: Room, bundle: dict[str, Any], *, zone: str | None, idempotent: bool) -> None:
        self._room = room
        self._raw = entries_of(bundle, "transaction")
        self._zone = zone
        self._idempotent = idempotent
        self._entries: list[Entry] = []
        self._places: dict[str, str] = {}  # full URL -> Type/id
        self._relative: dict[str, dict[str, str]] = {}  # base of full URLs -> Type/id there -> Type/id here
        self._gone: set[tuple[str, str]] = set()  # what it deletes, which comes first: no condition matches it any more

    async def write(self) -> tuple[list[Entry], dict[tuple[str, str], Stored]]:
        """Stores all of it; returns the entries, and what was stored by type and id."""
        for number, raw in enumerate(self._raw):
            self._entries.append(self._begun(number, raw["request"]))
        async with self._room.alone(*(entry.condition for entry in self._entries if entry.condition is not None)):
            return await self._written()

    async def _written(self) -> tuple[list[Entry], dict[tuple[str, str], Stored]]:
        for entry in sorted(self._entries, key=lambda entry: entry.method != "DELETE"):
            raw = self._raw[entry.number]
            if entry.method == "POST" and entry.condition is None:  # most of what is sent, and all of many an import
                self._posted(entry, raw)
            else:
                await self._read(entry, raw)
            self._place(entry, raw)
        await self._permit()
        changes = await self._changes()
        if not changes:
            return self._entries, {}
        planner = Planner(self._room, changes, self._zone)
        built = await self._room.writer.write(planner.plans, "transaction")
        await share(self._room, changes)
        return self._entries, stored_of(built)

    def _begun(self, number: int, request: dict[str, Any]) -> Entry:
        """The entry with its condition understood; so is what it asks for, because nothing is refused any more once all is stored."""
        entry = Entry(number, request["method"], request["url"])
        path, mark, text = entry.url.partition("?")
        condition = request.get("ifNoneExist")
        now = self._room.clock()
        try:
            if entry.method in READS:
                asked(entry.method, entry.url, now)
            elif entry.method == "POST" and isinstance(condition, str) and condition:
                entry.condition = parse(path, pairs_of(condition.partition("?")[2] or condition), strict=True, now=now)
            elif entry.method in CONDITIONAL and mark:
                entry.condition = parse(unquote(path.lstrip("/")), pairs_of(text), strict=True, now=now)
        except CloisterError as wrong:
            wrong.expression = f"{entry.place}.request"
            raise
        return entry

    async def _read(self, entry: Entry, raw: dict[str, Any]) -> None:
        """Give the entry its id, so that the others can point at it."""
        request = raw["request"]
        try:
            match entry.method:
                case "POST":
                    await self._post(entry, raw)
                case "PUT":
                    await self._put(entry, raw, request)
                case "PATCH":
                    await self._patch(entry, raw, request)
                case "DELETE":
                    await self._delete(entry, request)
                case "GET" | "HEAD":
                    pass
                case _:
                    raise Unsupported(
                        f"The method '{entry.method[:16]}' is not offered in a transaction.", hint="Use POST, PUT, PATCH, DELETE or GET."
                    )
        except CloisterError as wrong:
            raise _placed(wrong, entry) from None

    def _place(self, entry: Entry, raw: dict[str, Any]) -> None:
        """Where others find what this entry is about."""
        full = raw.get("fullUrl")
        if isinstance(full, str) and full:
            reference = _reference(entry)
            if reference and self._places.setdefault(full, reference) != reference:
                raise Invalid("Two entries have the same fullUrl.", hint="Give each its own.", expression=f"{entry.place}.fullUrl")
            address = ADDRESS.fullmatch(full) if full[:4] == "http" else None
            if address is not None:
                entry.base = address[1]
                if reference and reference != address[2]:
                    self._relative.setdefault(entry.base, {})[address[2]] = reference

    async def _post(self, entry: Entry, raw: dict[str, Any]) -> None:
        resource = _resource(raw, entry.url)
        if entry.condition is not None:
            entry.matched = await one_match(self._room, entry.condition, but=self._gone)
            if entry.matched is not None:
                return
        self._make(entry, raw, resource)

    def _posted(self, entry: Entry, raw: dict[str, Any]) -> None:
        """A create without a condition."""
        try:
            self._make(entry, raw, _resource(raw, entry.url))
        except CloisterError as wrong:
            raise _placed(wrong, entry) from None

    def _make(self, entry: Entry, raw: dict[str, Any], resource: dict[str, Any]) -> None:
        type, full = resource["resourceType"], raw.get("fullUrl", "")
        kept = full.removeprefix(URN).lower() if self._idempotent and isinstance(full, str) and full.startswith(URN) else ""
        if kept and uuid_row(kept) is not None:
            entry.change = Change(type=type, id=kept, resource=resource, skip_same=True)
        else:
            entry.change = Change(type=type, id=new_id(), resource=resource, fresh=True)

    async def _put(self, entry: Entry, raw: dict[str, Any], request: dict[str, Any]) -> None:
        path = entry.url.partition("?")[0]
        resource = _resource(raw, path.partition("/")[0])
        type = resource["resourceType"]
        version = _version(request)
        if entry.condition is not None:  # http.html#cond-update
            matched = await one_match(self._room, entry.condition, but=self._gone)
            if matched is not None:
                check_same_id(resource, matched)
                id = matched.id
            else:
                id = check_id(resource["id"]) if "id" in resource else new_id()
                version = version or 0  # what is something else already is not overwritten
        else:
            id = check_id(unquote(path.partition("/")[2]))
            if resource.get("id", id) != id:
                raise Invalid("The id in the resource is not the one in the address.", expression="resource.id")
        entry.change = Change(type=type, id=id, resource=resource, if_match=version, skip_same=self._idempotent)

    async def _patch(self, entry: Entry, raw: dict[str, Any], request: dict[str, Any]) -> None:
        """The current version, changed; somebody who writes in between makes the whole transaction fail."""
        patch = of_entry(raw.get("resource"))
        type, _, id = entry.url.partition("?")[0].partition("/")
        await self._room.permit(Action.READ, type)
        if entry.condition is not None:
            stored = await one_match(self._room, entry.condition)
        else:
            note = {"action": Action.READ.value, "kind": type, "object": f"{type}/{id}" if uuid_row(id) is not None else type}
            stored = await self._room.finder.read(type, check_id(unquote(id)), [note])
        if stored is None or stored.deleted:
            raise NotFound("There is nothing here to be patched.", hint="Create it first.")
        version = _version(request)
        if version is not None and version != stored.version:
            raise Conflict(f"{stored.reference} has changed since version {version}.", hint="Read it again and repeat.", reason="version")
        entry.change = Change(type=type, id=stored.id, resource=patched(stored.raw, patch), if_match=stored.version)

    async def _delete(self, entry: Entry, request: dict[str, Any]) -> None:
        if entry.condition is not None:
            matched = await one_match(self._room, entry.condition)
            if matched is None:
                return
            entry.change = Change(type=matched.type, id=matched.id, if_match=_version(request))
            self._gone.add((matched.type, matched.id))
            return
        type, _, id = entry.url.partition("/")
        if not is_type(type):
            raise NotFound(f"There is no resource type '{type[:64]}' in FHIR R4.", hint=MIND, expression="request.url")
        entry.change = Change(type=type, id=check_id(unquote(id)), if_match=_version(request))
        self._gone.add((type, entry.change.id))

    async def _permit(self) -> None:
        asked = {(WRITES[entry.method], entry.change.type) for entry in self._entries if entry.change is not None}
        for action, type in sorted(asked):
            await self._room.permit(action, type)

    async def _changes(self) -> list[Change]:
        """The changes with references rewritten, checked and drafted. Each resource may be named once."""
        self._room.elements.begin(self._places)
        changes: list[Change] = []
        later: list[tuple[Entry, Change, dict[str, Any], list[str]]] = []
        seen: set[tuple[str, str]] = set()
        for entry in self._entries:
            change = entry.change
            if change is None:
                continue
            if (change.type, change.id) in seen:
                raise Invalid("Two entries change the same resource.", hint="Send it once.", expression=entry.place)
            seen.add((change.type, change.id))
            changes.append(change)
            resource = change.resource
            if resource is None:
                continue
            relative = self._relative.get(entry.base)  # bundle.html#references: a relative one is told by the base of its own entry
            if isinstance(resource, Parts) and not relative and change.type != SUBSCRIPTION:
                drafted = self._room.elements.draft(resource, change.id)
                if drafted is not None:
                    change.draft, change.resource = drafted
                    continue
            try:
                if isinstance(resource, Parts):
                    resource = change.resource = resource.whole()
                places = ChainMap(self._places, relative) if relative else self._places
                unknown = rewrite(resource, places)
                if unknown:
                    later.append((entry, change, resource, unknown))
                else:
                    _drafted(change, resource)
            except CloisterError as wrong:
                raise _placed(wrong, entry) from None
        for entry, change, resource, unknown in later:  # last, so that they find what this transaction makes (http.html#trules)
            try:
                await self._resolve(unknown, changes)
                rewrite(resource, self._places)
                _drafted(change, resource)
            except CloisterError as wrong:
                raise _placed(wrong, entry) from None
        return changes

    async def _resolve(self, unknown: Sequence[str], changes: Sequence[Change]) -> None:
        """Conditional references (Practitioner?identifier=...), among what is stored and what is written here; a urn that no
        entry has is an error."""
        written = {(change.type, change.id) for change in changes}
        for reference in unknown:
            if reference in self._places:
                continue
            if reference.startswith("urn:"):
                raise Invalid("A reference points at an entry that is not in this bundle.", hint="Check the fullUrl.", reason="dangling")
            query = parse_url(reference)
            own = [f"{change.type}/{change.id}" for change in changes if _matches(query, change)]
            found = own + [one.reference for one in await matching(self._room, query, but=written)]
            if len(found) > 1:
                raise several_match()
            if not found:
                raise Invalid(
                    "A conditional reference matches nothing that you can open or that is in this bundle.",
                    hint="Create it first, or in the same transaction.",
                    reason="dangling",
                )
            self._places[reference] = found[0]


def _drafted(change: Change, resource: dict[str, Any]) -> None:
    check(resource)
    change.draft = Draft(resource, change.id)


def _matches(query: Query, change: Change) -> bool:
    """Whether what this change writes is meant. Conditions that lead through other resources are told by what is stored alone."""
    resource = change.resource
    if change.type != query.type or resource is None:
        return False
    values = change.draft.values if change.draft is not None else extract(resource)
    return matches(query, IndexEntry(change.type, change.id, 0, 0, values), undecided=True) and decided(query, resource)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an entry reads: the resources that match, one resource, or one version of it."""

    query: Query | None = None
    type: str = ""
    id: str = ""
    version: int = 0


def asked(method: str, url: str, now: datetime) -> Asked:
    """What the request of an entry asks for; raises what a search would, Unsupported for other addresses than these."""
    path, mark, text = url.partition("?")
    match [unquote(part) for part in path.strip("/").split("/")]:
        case [type] if type and type[0] not in "_$":
            return Asked(query=parse(type, pairs_of(text), strict=True, now=now))
        case [type, "_search"]:
            return Asked(query=parse(type, pairs_of(text), now=now))
        case [type, id] if not mark and id[:1] not in ("$", "_"):
            return Asked(type=type, id=id)
        case [type, id, "_history", version] if version.isascii() and version.isdigit():
            return Asked(type=type, id=id, version=int(version[:10]))
    raise Unsupported(f"'{method}' of this address is not offered in a bundle.", hint="Use Type/id or Type?parameters.")


def in_bundles(method: str, url: str) -> bool:
    """Whether this is the reading, search or writing of a resource, which a bundle answers without its address."""
    path, mark, _ = url.partition("?")
    match path.strip("/").split("/"):
        case [type]:
            return is_type(type)
        case [_, "_search"] | [_, _, "_history", _]:
            return method in READS
        case [_, id]:
            return id[:1] not in ("$", "_") and (method not in READS or not mark)
    return False


def stored_of(built: Sequence[Built]) -> dict[tuple[str, str], Stored]:
    return {place: stored for one in built for place, stored in one.stored().items()}


def outcome_of_write(entry: Entry, stored: dict[tuple[str, str], Stored]) -> Outcome:
    """What became of one write of a transaction that was stored."""
    if entry.matched is not None:
        return Outcome(status="200", stored=entry.matched)
    change = entry.change
    if change is None or entry.method == "DELETE":
        return Outcome(status="204")
    written = stored.get((change.type, change.id))
    if written is None:  # an import found the same content
        return Outcome(status="200")
    return Outcome(status="201" if change.created else "200", stored=written)


def _reference(entry: Entry) -> str:
    if entry.matched is not None:
        return entry.matched.reference
    return f"{entry.change.type}/{entry.change.id}" if entry.change is not None else ""


def _resource(raw: dict[str, Any], type: str) -> dict[str, Any]:
    resource = raw.get("resource")
    if not isinstance(resource, dict):
        raise Invalid("The entry has no resource.", hint="Give it the resource that is to be stored.", expression="resource")
    if not is_type(type):
        raise NotFound(f"There is no resource type '{type[:64]}' in FHIR R4.", hint=MIND, expression="request.url")
    if resource.get("resourceType") != type:
        raise Invalid(f"The resource is not of the type in the address, '{type[:64]}'.", expression="resource.resourceType")
    return resource


def _version(request: dict[str, Any]) -> int | None:
    text = request.get("ifMatch")
    if text is None:
        return 0 if request.get("ifNoneMatch") == "*" and request["method"] == "PUT" else None  # to make, and never to overwrite
    digits = str(text).removeprefix("W/").strip('"')
    if not digits.isdigit() or len(digits) > 9:
        raise Invalid('ifMatch looks like W/"3".', expression="request.ifMatch")
    return int(digits)


def _placed(wrong: CloisterError, entry: Entry) -> CloisterError:
    """The same error, saying in which entry."""
    if wrong.expression.startswith("request."):
        wrong.expression = f"{entry.place}.{wrong.expression}"
        return wrong
    place = f"{entry.place}.resource"
    wrong.expression = f"{place}.{wrong.expression.partition('.')[2]}".rstrip(".") if wrong.expression else place
    return wrong
