"""The record as one session sees it: FHIR R4 interactions on sealed dossiers. Spec: docs/spec/zones.md.

One `Records` belongs to one opened session: its actor, its keyring, its connection to the store gate.
Every answer was decided by the policy, audited by the gate before it was given, and verified against
the signed head of its dossier. What lies in a zone that this session cannot open does not exist here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cloister.access import Actor, Policy
from cloister.base.clock import Clock, system_clock
from cloister.base.wire import Caller
from cloister.records.chart import Chart
from cloister.records.stored import Outcome, Page, Stored, Written
from cloister.zones import Keyring

if TYPE_CHECKING:
    from cloister.records.search import Query


class Records:
    """Door of the room for one session. All methods raise the eight errors of cloister.base.errors."""

    def __init__(self, actor: Actor, keyring: Keyring, gate: Caller, policy: Policy, clock: Clock = system_clock) -> None:
        raise NotImplementedError

    async def read(self, type: str, id: str) -> Stored:
        """http.html#read. NotFound, with reason 'deleted' when it once existed (410)."""
        raise NotImplementedError

    async def vread(self, type: str, id: str, version: int) -> Stored:
        """http.html#vread. A deleted version is NotFound with reason 'deleted'."""
        raise NotImplementedError

    async def history(self, type: str, id: str) -> list[Stored]:
        """http.html#history of one instance, newest first; deleted versions are `Stored` with `deleted`."""
        raise NotImplementedError

    async def create(self, resource: dict[str, Any], *, zone: str | None = None, if_none_exist: Query | None = None) -> Written:
        """http.html#create, conditional with `if_none_exist`. The server makes the id."""
        raise NotImplementedError

    async def update(self, resource: dict[str, Any], *, if_match: int | None = None, zone: str | None = None) -> Written:
        """http.html#update; creates under the given id when there is none (update as create)."""
        raise NotImplementedError

    async def delete(self, type: str, id: str, *, if_match: int | None = None) -> None:
        """http.html#delete. Deleting what is deleted is no error; what never existed is NotFound."""
        raise NotImplementedError

    async def search(self, query: Query) -> Page:
        """search.html, first page. Invalid with reason 'too-costly' when it would open too many dossiers."""
        raise NotImplementedError

    async def page(self, token: str) -> Page:
        """A further page of an earlier search of this session; NotFound when it is no longer kept."""
        raise NotImplementedError

    async def transaction(self, bundle: dict[str, Any], *, zone: str | None = None, idempotent: bool = False) -> list[Outcome]:
        """http.html#transaction: all or nothing. `idempotent` keeps urn:uuid ids and skips what is stored already."""
        raise NotImplementedError

    async def batch(self, bundle: dict[str, Any], *, zone: str | None = None) -> list[Outcome]:
        """http.html#transaction for type batch: each entry on its own."""
        raise NotImplementedError

    async def open_chart(self, patient: str) -> Chart:
        """The chart of Patient/`patient`; NotFound unless this session can open it."""
        raise NotImplementedError

    async def many(self, references: Sequence[str]) -> dict[str, Stored]:
        """The resources behind these references ('Type/id'), as far as this session can open them."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget every opened key, index and row."""
        raise NotImplementedError
