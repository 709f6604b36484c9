"""What one session's records are made of, put together once: policy, keys, opened dossiers, search, writing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from cloister.access import Action, Actor, Facts, Narrowed, Policy, rules
from cloister.base.clock import Clock
from cloister.base.errors import Denied, NotFound
from cloister.base.wire import Caller
from cloister.records.commit import Writer
from cloister.records.definitions import is_type
from cloister.records.dossiers import Dossiers
from cloister.records.elements import Elements
from cloister.records.finding import Finder
from cloister.records.listing import Listings
from cloister.records.placement import Places
from cloister.records.search import Query
from cloister.records.searching import Searcher
from cloister.records.shard import Shard
from cloister.records.subscriptions import Heeding, Subscriptions
from cloister.records.tokens import Tokens
from cloister.zones import Keyring


class Room:
    """The parts, and the one question that precedes every use of them: may this person do this to that kind of resource?"""

    def __init__(
        self,
        actor: Actor,
        keyring: Keyring,
        gate: Caller,
        policy: Policy | Narrowed,
        clock: Clock,
        delivery: bytes,
        main: Subscriptions | None,
    ) -> None:
        self.actor = actor
        self.keyring = keyring
        self.gate = gate
        self.clock = clock
        self._policy = policy
        self.narrowed = isinstance(policy, Narrowed)
        self.patient = policy.patient if isinstance(policy, Narrowed) else ""  # the one whose record this is about, if it is about one
        self._shards: dict[str, Shard] = {}
        self._known_facts: dict[str, Facts] = {}  # by type: every decision asks
        self._conditions: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.places = Places(actor, keyring)
        self.tokens = Tokens(keyring)
        self.dossiers = Dossiers(gate, keyring, clock, patient=self.patient)
        self.finder = Finder(gate, keyring, self.dossiers, self.tokens, self.places.preferred)
        self.elements = Elements()
        self.listings = Listings(self.dossiers)
        self.subscriptions = Subscriptions(self, delivery, main)
        self.writer = Writer(Heeding(gate, self.subscriptions), keyring, self.dossiers, self.tokens, clock)
        self.searcher = Searcher(gate, self.dossiers, self.finder, self.shards, self.may_read)

    def shards(self) -> list[Shard]:
        """The lists of people of the zones that this session may read."""
        for zone in self.places.readable:
            if zone not in self._shards:
                self._shards[zone] = Shard(self.gate, self.keyring, zone)
        return list(self._shards.values())

    @contextlib.asynccontextmanager
    async def alone(self, *conditions: Query) -> AsyncIterator[None]:
        """One conditional write of this session at a time under the same condition; several are taken in one order, never in a ring."""
        async with contextlib.AsyncExitStack() as held:
            for name in sorted({repr((one.type, sorted(one.applied))) for one in conditions}):
                lock = self._conditions.get(name)
                if lock is None:
                    lock = self._conditions[name] = asyncio.Lock()
                await held.enter_async_context(lock)
            yield

    async def permit(self, action: Action, kind: str) -> None:
        """Returns when the policy permits; otherwise the refusal is audited and raised."""
        if not is_type(kind):
            raise NotFound(f"There is no resource type '{kind[:64]}' in FHIR R4.", hint="Mind upper and lower case: Patient, Observation.")
        try:
            self._policy.decide(self.actor, action, self._facts(kind))
        except Denied as denied:
            note = {"action": action.value, "kind": kind, "outcome": "denied", "reason": denied.reason}
            await self.gate.call("audit_append", entries=[note])
            raise

    async def act(self, act: rules.Act, kind: str) -> None:
        """Returns when no rule of the trust forbids this here and now; otherwise the refusal is audited and raised."""
        try:
            self._policy.check(self.actor, act, self._facts(kind))
        except Denied as denied:
            note = {"action": act.value, "kind": kind, "outcome": "denied", "reason": denied.reason}
            await self.gate.call("audit_append", entries=[note])
            raise

    def may_read(self, kind: str) -> bool:
        """For what a search brings along or looks through: refused silently, because nobody asked for it by name."""
        if not is_type(kind):
            return False
        try:
            self._policy.decide(self.actor, Action.SEARCH, self._facts(kind))
        except Denied:
            return False
        return True

    def _facts(self, kind: str) -> Facts:
        zones = self.places.readable
        known = self._known_facts.get(kind)
        if known is None or known.zones is not zones:
            known = self._known_facts[kind] = Facts(kind=kind, zones=zones)
        return known

    def forget(self, zones: frozenset[str]) -> None:
        self.dossiers.forget(zones)
        for zone in zones:
            self._shards.pop(zone, None)
        if zones:
            self.elements.close()
            self.listings.close()
            self.searcher.close()  # further pages of a search may lie in what was lost

    def close(self) -> None:
        self.subscriptions.close()
        self.dossiers.close()
        self.listings.close()
        self.searcher.close()
        self.elements.close()
        self._shards.clear()
