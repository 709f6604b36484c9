"""What is asked of a store to place a session: a snapshot of the farm, a claim that holds whole or not at all, a place in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from cloister.farm.groups import Application, Group
from cloister.farm.licences import Pool, Usage
from cloister.farm.placement import Server, Session, Wanted
from cloister.farm.queue import QueuePlace
from cloister.farm.ranking import Candidate

AWAY: Final = "away-"  # how the id of a session begins that was started while the database was away


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolNow:
    """A pool and what of it is free, by who may have it."""

    pool: Pool
    used: Usage

    def free(self, *, emergency: bool, now: datetime) -> int:
        ordinary = self.pool.seats - self.pool.reserve - self.used.ordinary - self.used.kept
        reserve = self.pool.reserve - self.used.reserve if emergency else 0
        grace = self.pool.grace - self.used.grace if self.pool.grace_open(now) else 0
        return max(0, ordinary) + max(0, reserve) + max(0, grace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The farm at one moment of the store's clock, by which alone it is judged who is silent and what is over."""

    at: datetime
    servers: Mapping[str, Server] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    applications: Mapping[str, Application] = field(default_factory=dict)
    pools: Mapping[str, PoolNow] = field(default_factory=dict)
    brokers: tuple[str, ...] = ()  # heard of lately
    away: bool = False  # the database is: this is what was last known


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One start. `room`: how many could be placed now, so that as many of the queue may try."""

    session: str
    wanted: Wanted
    application: Application
    each_max: int
    person_max: int
    candidates: tuple[Candidate, ...]
    room: int
    broker: str
    decision: Mapping[str, Any]


class Outcome(StrEnum):
    PLACED = "placed"
    EXISTS = "exists"  # somebody started it meanwhile
    EACH_MAX = "each-max"
    APPLICATION_MAX = "application-max"
    BEHIND = "behind"  # others wait before
    MOVED = "moved"  # every candidate holds more by now
    LICENCES = "licences"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """`held`: sessions and sign-ins of the servers that were looked at; -1 where somebody else was claiming, -2 where it is not ready."""

    outcome: Outcome
    server: str = ""
    seat: int | None = None
    held: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Claims(Protocol):
    async def snapshot(self, *, now: datetime) -> Snapshot: ...
    async def claim(self, claim: Claim, *, now: datetime) -> Claimed: ...
    async def wait(self, wanted: Wanted, reason: str, *, now: datetime) -> QueuePlace: ...
    async def leave(self, wanted: Wanted) -> None: ...
    async def refused(self, wanted: Wanted, broker: str, reason: str, text: str, *, now: datetime) -> None: ...
    async def decision(self, session: str) -> dict[str, Any]: ...
    async def set_pool(self, pool: Pool) -> None: ...
    async def drop_pool(self, application: str) -> None: ...
    async def adopt(self, row: Session, broker: str, seat: int | None) -> str: ...
    async def tend(self, broker: str, *, now: datetime) -> list[str]: ...
