"""The record as one session sees it: FHIR R4 interactions on sealed dossiers. Spec: docs/spec/zones.md.

One `Records` belongs to one opened session: its actor, its keyring, its connection to the store gate.
Every answer was decided by the policy, audited by the gate before it was given, and verified against
the signed head of its dossier. What lies in a zone that this session cannot open does not exist here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloister.access import Action, Actor, Narrowed, Policy, rules
from cloister.base.clock import Clock, system_clock
from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.base.wire import Caller
from cloister.records.beside import MARK, Beside
from cloister.records.changing import delete_one, rehearse, versions_of, write_one
from cloister.records.chart import Chart
from cloister.records.conditional import create_unless, delete_where, one_match, update_where
from cloister.records.dossier import Dossier, row_of
from cloister.records.everything import Asked, everything, everything_of_all
from cloister.records.exporting import Exports, TakeBytes
from cloister.records.finding import not_found
from cloister.records.importing import Imports
from cloister.records.intake import Taken, take_up
from cloister.records.lastn import lastn
from cloister.records.parked import Parking
from cloister.records.past import Histories, History, Span
from cloister.records.rekeying import ask_zone, go_on, rekey, take_keys
from cloister.records.room import Room
from cloister.records.rowids import uuid_row
from cloister.records.search import Query
from cloister.records.sharing import take_shares
from cloister.records.stored import Elsewhere, Outcome, Page, Stored, Written
from cloister.records.subscribed import TYPE
from cloister.records.subscriptions import PROGRAM, Subscriptions
from cloister.records.terminology.catalogue import TYPES
from cloister.records.terminology.closure import Closures
from cloister.records.transaction import READS, Transaction, asked, entries_of, in_bundles, outcome_of_write
from cloister.zones import Keyring


class Records:
    """Door of the room for one session. All methods raise the eight errors of cloister.base.errors."""

    def __init__(
        self,
        actor: Actor,
        keyring: Keyring,
        gate: Caller,
        policy: Policy | Narrowed,
        clock: Clock = system_clock,
        *,
        bulk: TakeBytes | None = None,
        delivery: bytes = b"",
        main: Subscriptions | None = None,
    ) -> None:
        """`bulk` is asked before each piece of bulk data; left out, nothing is counted. `delivery`: to whom addresses of
        notifications are sealed. `main`: of a narrowed token, the `subscriptions` of the session's own records."""
        self._room = Room(actor, keyring, gate, policy, clock, delivery, main)
        self._histories = Histories(self._room)
        self._beside = Beside(self._room)
        self.exports = Exports(self._room, bulk)
        self.closures = Closures()
        self._imports: Imports | None = None
        self._import_zone: str | None = None

    async def read(self, type: str, id: str) -> Stored:
        """http.html#read. NotFound, with reason 'deleted' when it once existed (410)."""
        await self._room.permit(Action.READ, type)
        await self._up_to_date(type)
        own = self._own(type, id)
        return await (self._beside.read(Action.READ, type, id, own) if type in TYPES else own)

    async def _own(self, type: str, id: str) -> Stored:
        note = {"action": Action.READ.value, "kind": type, "object": f"{type}/{id}" if uuid_row(id) is not None else type}
        stored = await self._room.finder.read(type, id, [note])
        if stored.deleted:
            raise not_found(type, id, deleted=True)
        return stored

    async def exported(self, type: str) -> None:
        """Returns when what was read may be carried away from here as one document; Denied otherwise (docs/policies.md)."""
        await self._room.act(rules.Act.EXPORT, type)

    async def vread(self, type: str, id: str, version: int) -> Stored:
        """http.html#vread. A deleted version is NotFound with reason 'deleted'."""
        await self._room.permit(Action.VREAD, type)
        if version < 1:
            raise not_found(type, id)
        own = self._own_version(type, id, version)
        return await (self._beside.read(Action.VREAD, type, id, own) if type in TYPES and version == 1 else own)

    async def _own_version(self, type: str, id: str, version: int) -> Stored:
        (stored,) = await versions_of(self._room, type, id, version=version)
        if stored.deleted:
            raise not_found(type, id, deleted=True)
        return stored

    async def history(self, type: str, id: str) -> list[Stored]:
        """http.html#history of one instance, newest first; deleted versions are `Stored` with `deleted`."""
        await self._room.permit(Action.HISTORY, type)
        own = versions_of(self._room, type, id)
        return await (self._beside.versions(type, id, own) if type in TYPES else own)

    async def past(self, type: str | None, span: Span, count: int) -> History:
        """http.html#history of a type, or of all types; Invalid with reason 'too-costly' when it is too long. Pages by `past_page`."""
        return await self._histories.first(type, span, count)

    async def past_page(self, token: str) -> History:
        """A further page of such a history of this session; NotFound when it is no longer kept."""
        return await self._histories.page(token)

    async def create(self, resource: dict[str, Any], *, zone: str | None = None, if_none_exist: Query | None = None) -> Written:
        """http.html#create, conditional with `if_none_exist`. The server makes the id."""
        if if_none_exist is not None:
            return await create_unless(self._room, resource, if_none_exist, zone)
        return await write_one(self._room, resource, action=Action.CREATE, zone=zone)

    async def update(self, resource: dict[str, Any], *, if_match: int | None = None, zone: str | None = None) -> Written:
        """http.html#update; creates under the given id when there is none (update as create)."""
        if "id" not in resource:
            raise Invalid("The resource has no id.", hint="Send the id of what is to be updated.", expression="id")
        return await write_one(self._room, resource, action=Action.UPDATE, zone=zone, if_match=if_match)

    async def delete(self, type: str, id: str, *, if_match: int | None = None) -> None:
        """http.html#delete. Deleting what is deleted is no error; what never existed is NotFound."""
        await delete_one(self._room, type, id, if_match=if_match)

    async def update_where(
        self, resource: dict[str, Any], query: Query, *, if_match: int | None = None, zone: str | None = None
    ) -> Written:
        """http.html#cond-update: the one that matches is updated, none creates, several are a Conflict."""
        return await update_where(self._room, resource, query, if_match=if_match, zone=zone)

    async def delete_where(self, query: Query, *, if_match: int | None = None) -> Stored | None:
        """http.html#cdelete: the one that matches is deleted and given back; several are a Conflict, and nothing is deleted."""
        return await delete_where(self._room, query, if_match=if_match)

    async def matching(self, query: Query) -> Stored | None:
        """The one resource that a condition means, or None; several are a Conflict."""
        return await one_match(self._room, query)

    async def search(self, query: Query) -> Page:
        """search.html, first page. Invalid with reason 'too-costly' when it would open too many dossiers."""
        await self._room.permit(Action.SEARCH, query.type)
        await self._up_to_date(query.type)
        return await (self._beside.search([query]) if query.type in TYPES else self._room.searcher.search(query))

    async def search_types(self, queries: Sequence[Query], *, patient: str | None = None, named: bool = True) -> Page:
        """http.html#search across types; within one patient's record where `patient` is given (http.html#vsearch).

        Types that were not asked for by name (`named` is False) are left out where this session may not read them; Denied when
        that leaves none, as of one by name.
        """
        allowed = [query for query in queries if named or self._room.may_read(query.type)] or queries[:1]
        for query in allowed:
            await self._room.permit(Action.SEARCH, query.type)
            await self._up_to_date(query.type)
        return await self._beside.search(allowed, await self._chart(patient) if patient is not None else None)

    async def page(self, token: str) -> Page:
        """A further page of an earlier search of this session; NotFound when it is no longer kept."""
        return await (self._beside if token.startswith(MARK) else self._room.searcher).page(token)

    async def rehearse(
        self, type: str, id: str | None, resource: dict[str, Any] | None, mode: str, *, if_match: int | None = None, zone: str | None = None
    ) -> None:
        """Whether create, update or delete (`mode`) would be accepted now; raises what would refuse it."""
        await rehearse(self._room, type, id, resource, Action(mode), if_match=if_match, zone=zone)

    async def _chart(self, patient: str) -> Dossier:
        dossier, line = await self._room.finder.line("Patient", patient)
        if line.deleted:
            raise not_found("Patient", patient, deleted=True)
        return dossier

    async def everything(self, type: str, id: str, asked: Asked) -> Page:
        """Patient/$everything and Encounter/$everything; further pages by `listed`."""
        return await self._room.listings.first(await everything(self._room, type, id, asked))

    async def everything_of_all(self, asked: Asked) -> Page:
        """Patient/$everything without an id; further pages by `listed`."""
        return await self._room.listings.first(await everything_of_all(self._room, asked))

    async def lastn(self, query: Query, most: int) -> Page:
        """Observation/$lastn; further pages by `listed`."""
        return await self._room.listings.first(await lastn(self._room, query, most))

    def imports(self, zone: str | None = None) -> Imports:
        """The imports of this session; a new one goes to this zone."""
        self._import_zone = zone
        if self._imports is None:
            self._imports = Imports(lambda bundle: self.transaction(bundle, zone=self._import_zone, idempotent=True))
        return self._imports

    async def listed(self, token: str) -> Page:
        """A further page of an operation's list."""
        return await self._room.listings.page(token)

    async def transaction(self, bundle: dict[str, Any], *, zone: str | None = None, idempotent: bool = False) -> list[Outcome]:
        """http.html#transaction: all or nothing. `idempotent` keeps urn:uuid ids and skips what is stored already."""
        entries, stored = await Transaction(self._room, bundle, zone=zone, idempotent=idempotent).write()
        outcomes = []
        for entry in entries:
            try:
                outcomes.append(await self._asked(entry.method, entry.url) if entry.method in READS else outcome_of_write(entry, stored))
            except CloisterError as refused:  # everything is stored by now: what is not found is said in its place
                outcomes.append(Outcome(status=refused.category, problem=refused))
        return outcomes

    async def batch(self, bundle: dict[str, Any], *, zone: str | None = None, elsewhere: Elsewhere | None = None) -> list[Outcome]:
        """http.html#transaction for type batch: each entry on its own. `elsewhere` answers what is no reading, search or writing."""
        outcomes = []
        for number, entry in enumerate(entries_of(bundle, "batch")):
            request = entry["request"]
            try:
                if elsewhere is not None and not in_bundles(request["method"], request["url"]):
                    outcomes.append(await elsewhere(entry))
                elif request["method"] in READS:
                    outcomes.append(await self._asked(request["method"], request["url"]))
                else:
                    alone = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
                    outcomes.extend(await self.transaction(alone, zone=zone))
            except CloisterError as refused:
                refused.expression = refused.expression.replace("Bundle.entry[0]", f"Bundle.entry[{number}]")
                outcomes.append(Outcome(status=refused.category, problem=refused))
        return outcomes

    async def _asked(self, method: str, url: str) -> Outcome:
        """A read or search inside a bundle."""
        wanted = asked(method, url, self._room.clock())
        if wanted.query is not None:
            return Outcome(status="200", page=await self.search(wanted.query))
        if wanted.version:
            return Outcome(status="200", stored=await self.vread(wanted.type, wanted.id, wanted.version))
        return Outcome(status="200", stored=await self.read(wanted.type, wanted.id))

    async def open_chart(self, patient: str) -> Chart:
        """The chart of Patient/`patient`; NotFound unless this session can open it."""
        await self._room.permit(Action.READ, "Patient")
        dossier, line = await self._room.finder.line("Patient", patient)
        note = {"action": "open-chart", "kind": "Patient", "object": dossier.name}
        stored = await self._room.finder.fetch(dossier, line, [note])
        if stored.deleted:
            raise not_found("Patient", patient, deleted=True)
        return Chart(self._room, dossier, stored)

    async def many(self, references: Sequence[str]) -> dict[str, Stored]:
        """The resources behind these references ('Type/id'), as far as this session can open them."""
        room = self._room
        places = [(type, id) for type, _, id in (text.partition("/") for text in dict.fromkeys(references)) if room.may_read(type)]
        located = await room.finder.locate(places)
        opened = await room.dossiers.open([several[0] for several in located.values()], fresh=True)
        pairs = []
        for (type, id), several in located.items():
            dossier = opened.get(several[0])
            line = dossier.lines(type).get(id) if dossier is not None else None
            if dossier is not None and line is not None and not line.deleted:
                pairs.append((dossier, line))
        notes = [{"action": Action.READ.value, "kind": "Chart", "object": name} for name in dict.fromkeys(one.name for one, _ in pairs)]
        stored, _ = await room.dossiers.rows(pairs, notes)
        return {one.reference: one for one in stored if one is not None}

    @property
    def gate(self) -> Caller:
        """The way to the store, for what is neither read nor written as a resource. Not for a narrowed token."""
        if self._room.narrowed:
            raise Denied("This takes a token without narrower scopes.", hint="Ask for system/*.cruds.", reason="scope-missing")
        return self._room.gate

    @property
    def parking(self) -> Parking:
        """Messages of other systems that wait for a person. Not for a narrowed token: a message may be about anything."""
        if self._room.narrowed:
            raise Denied("This takes a token without narrower scopes.", hint="Ask for system/*.cruds.", reason="scope-missing")
        return Parking(self._room)

    @property
    def clock(self) -> Clock:
        return self._room.clock

    @property
    def actor(self) -> Actor:
        return self._room.actor

    @property
    def subscriptions(self) -> Subscriptions:
        return self._room.subscriptions

    async def subscription_status(self, id: str) -> tuple[Stored, list[Any] | None]:
        """The subscription, and [events that matched, events told, the last failure, the channel's state] if it was active once."""
        stored = await self.read(TYPE, id)
        _, line = await self._room.finder.line(TYPE, id)
        return stored, await self._room.gate.call("subscription_status", dossier=stored.dossier, id=row_of(line))

    async def _up_to_date(self, type: str) -> None:
        """Of its own subscriptions a program reads the status that is so now."""
        if type == TYPE and self._room.actor.role == PROGRAM:
            await self._room.subscriptions.look()

    async def take_shares(self) -> int:
        """Take up records that other wards share with the zones of this session; end what is due."""
        return await take_shares(self._room)

    async def rekey(self, patient: str, reason: str) -> int:
        """New keys for a patient's record (deep revoke); the key number that it has now."""
        await self._room.permit(Action.UPDATE, "Patient")
        dossier, _ = await self._room.finder.line("Patient", patient)
        return await rekey(self._room, dossier.id, reason)

    async def ask_rekey(self, zone: str, reason: str) -> None:
        """New keys for every record of a zone, made in the background of its sessions."""
        await self._room.permit(Action.UPDATE, "Patient")
        await ask_zone(self._room, zone, reason)

    async def renew_keys(self) -> tuple[int, int]:
        """Take up keys that others made; make some of those that were asked for. How many of each."""
        return await take_keys(self._room), await go_on(self._room)

    async def take_up(self) -> Taken:
        """Take up what machines sealed into the zones of this session."""
        return await take_up(self._room)

    def forget(self, zones: frozenset[str]) -> None:
        """Forget what was opened through these zones alone."""
        self._room.forget(zones)
        if zones:
            self._histories.close()
            self._beside.close()
            self.exports.jobs.close()  # what was counted may lie in what was lost

    def close(self) -> None:
        """Forget every opened key, index and row; bulk jobs end."""
        self.exports.jobs.close()
        if self._imports is not None:
            self._imports.jobs.close()
        self._room.close()
        self._histories.close()
        self._beside.close()
