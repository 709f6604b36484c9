"""Where a new session goes: the least loaded server of those that may take it, and why the others may not. Pure.

The load index is of the processor, the memory and the sessions, and counts what was placed since the server's last report:
on old reports alone, everybody of a minute goes to the one server that was least loaded at its beginning. A ranking is made
of one snapshot, corrected by what is placed, and renewed by the next where that differs, so that a choice among 1,400 servers
costs microseconds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from math import inf
from typing import Final
from zlib import crc32

from cloister.base.errors import Busy, CloisterError, Unavailable
from cloister.farm.groups import Group
from cloister.farm.placement import Server, ServerState, Wanted, silent

SESSIONS_WEIGHT: Final = 0.4
PROCESSOR_WEIGHT: Final = 0.35
MEMORY_WEIGHT: Final = 0.25
SIGN_IN_PROCESSOR: Final = 0.02  # of a server, reckoned for each session that its last report does not know of
MEMORY_USED_MAX: Final = 0.95  # above it a server gets nobody: what is there already needs the rest
CANDIDATES: Final = 8
# Of the index, less than a session of 20 slots adds: within it, several brokers take servers of as many sessions for equal.
LEVEL: Final = 1 / 64
HEAP_MIN: Final = 64  # below it nobody minds what is out of date


class Why(StrEnum):
    """Why a server that publishes the application may not take a session now. The order is how near each is to taking one."""

    TOLERANCE = "at their tolerance of sign-ins"
    FULL = "full"
    MEMORY = "short of memory"
    STARTING = "starting"
    IMAGE = "with another image"
    DRAINING = "draining"
    MAINTENANCE = "in maintenance"
    UNHEALTHY = "unhealthy"
    SILENT = "silent"
    OFF = "off"


REASON: Final = {
    Why.TOLERANCE: "tolerance",
    Why.FULL: "slots",
    Why.MEMORY: "memory",
    Why.STARTING: "server-starting",
    Why.IMAGE: "image",
    Why.DRAINING: "server-draining",
    Why.MAINTENANCE: "server-maintenance",
    Why.UNHEALTHY: "server-unhealthy",
    Why.SILENT: "server-silent",
    Why.OFF: "server-off",
}
HINT: Final = {
    Why.TOLERANCE: "It is your turn in a moment.",
    Why.FULL: "Try again when somebody has signed out; more slots: CLOISTER_SLOTS, or another server.",
    Why.MEMORY: "cloister server list shows which; end what uses the memory, or add a server.",
    Why.STARTING: "They are ready in a moment.",
    Why.IMAGE: "Start the servers with the image of their group, or change the group's.",
    Why.DRAINING: "Wait for the maintenance to end.",
    Why.MAINTENANCE: "Wait for the maintenance to end.",
    Why.UNHEALTHY: "cloister server list says what each failed.",
    Why.SILENT: "Is the part 'agent' running?",
    Why.OFF: "Switch a server on.",
}
PASSING: Final = frozenset({Why.TOLERANCE, Why.FULL, Why.MEMORY, Why.STARTING})  # worth waiting for in the queue
OF_STATE: Final = {
    ServerState.OFF: Why.OFF,
    ServerState.STARTING: Why.STARTING,
    ServerState.DRAINING: Why.DRAINING,
    ServerState.MAINTENANCE: Why.MAINTENANCE,
    ServerState.UNHEALTHY: Why.UNHEALTHY,
}


@dataclass(slots=True, kw_only=True)
class Row:
    """One server in a ranking: what bounds it, and what it holds as far as this broker knows."""

    id: str
    tie: int
    slots: int
    limit: int  # sessions
    tolerance: int  # sign-ins at once
    processor: float
    memory: float
    taken: int
    starting: int
    fresh: int
    pending: int = 0  # of this broker, asked of the store and not answered yet
    turn: int = -1  # of the ranking, when this broker learnt last what it holds
    key: float | None = None  # in the heap now; None: it is not, because it has no room
    version: int = 0

    @property
    def index(self) -> float:
        """From 0, idle, to 1. A session's memory is reckoned as one slot's share."""
        fresh = self.fresh + self.pending
        sessions = (self.taken + self.pending) / self.slots
        processor = min(1.0, self.processor + fresh * SIGN_IN_PROCESSOR)
        memory = min(1.0, self.memory + fresh / self.slots * (1 - self.memory))
        return SESSIONS_WEIGHT * sessions + PROCESSOR_WEIGHT * processor + MEMORY_WEIGHT * memory

    @property
    def level(self) -> float:
        """The index in steps of LEVEL, and within one the servers with fewer sessions first."""
        return self.index // LEVEL + (self.taken + self.pending) / (2 * self.slots)

    @property
    def step(self) -> float:
        """What one more session adds, about."""
        return (SESSIONS_WEIGHT + MEMORY_WEIGHT) / self.slots + PROCESSOR_WEIGHT * SIGN_IN_PROCESSOR

    @property
    def room(self) -> int:
        return max(0, min(self.tolerance - self.starting, self.limit - self.taken) - self.pending)

    @property
    def why(self) -> Why | None:
        if self.taken + self.pending >= self.limit:
            return Why.FULL
        return Why.TOLERANCE if self.starting + self.pending >= self.tolerance else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A server that may take the session, if it holds no more than `taken` when asked: somebody else may have been faster."""

    server: str
    taken: int
    limit: int
    tolerance: int
    index: float


class Ranking:
    """The servers that publish one application to one person, the least loaded first: the same to all whom the same groups serve.

    `salt`: the broker's name. Of servers that are equal each broker tries its own part first, in an order of its own, so that
    `brokers` do not meet at each, and each knows best what it will try next.
    """

    def __init__(
        self,
        servers: Iterable[Server],
        groups: Mapping[str, Group],
        *,
        wanted: Wanted,
        now: datetime,
        salt: str = "",
        brokers: tuple[str, ...] = (),
    ) -> None:
        self.application = wanted.application
        self.all = 0
        self.rows: dict[str, Row] = {}
        self.room = 0
        self._wanted = wanted
        self._salt = salt
        self._brokers = brokers
        self._turn = 0
        self._versions = 0  # of all rows, so that one that comes back has no entry of its last life
        self._out: dict[str, Why] = {}
        self._busy: Counter[Why] = Counter()
        self._heap: list[tuple[float, int, str, int]] = []
        self.renew(servers, groups, now=now)

    def reading(self) -> None:
        """A snapshot is being read: of what is learnt from now on, it may know less."""
        self._turn += 1

    def renew(self, servers: Iterable[Server], groups: Mapping[str, Group], *, now: datetime) -> None:
        """By a newer snapshot of the same groups. What was learnt of a server since it was begun (`reading`) is newer still, and stays."""
        alike: dict[tuple[tuple[str, ...], str], Publishes | None] = {}  # servers of the same groups and image: most are
        seen: set[str] = set()
        self.all, self._out = 0, {}
        for server in servers:
            self.all += 1
            kind = (server.groups, server.image)
            if kind not in alike:
                alike[kind] = _publishes([groups[name] for name in server.groups if name in groups], self._wanted, server.image)
            publishes = alike[kind]
            if publishes is None:
                continue
            why = _kept_out(server, publishes, now)
            if why is not None:
                self._out[server.id] = why
                continue
            seen.add(server.id)
            self._renew(server, publishes)
        for gone in self.rows.keys() - seen:
            self._drop(gone)

    def _renew(self, server: Server, publishes: Publishes) -> None:
        limit = server.slots if publishes.limit is None else min(server.slots, publishes.limit)
        row = self.rows.get(server.id)
        if row is None:
            row = self.rows[server.id] = Row(
                id=server.id, tie=tie(server.id, self._salt, self._brokers), slots=server.slots, limit=limit, tolerance=publishes.tolerance,
                processor=server.load, memory=server.memory, taken=server.taken, starting=server.starting, fresh=server.fresh,
            )  # fmt: skip
            self._count(row, 1)
            self._enter(row)
            return
        taken, starting, fresh = server.taken, server.starting, server.fresh
        if row.turn == self._turn:
            taken, starting, fresh = row.taken, row.starting, max(0, server.fresh + row.taken - server.taken)
        known = (row.slots, row.limit, row.tolerance, row.processor, row.memory, row.taken, row.starting, row.fresh)
        if known == (server.slots, limit, publishes.tolerance, server.load, server.memory, taken, starting, fresh):
            return
        self._count(row, -1)
        row.slots, row.limit, row.tolerance = server.slots, limit, publishes.tolerance
        row.processor, row.memory = server.load, server.memory
        row.taken, row.starting, row.fresh = taken, starting, fresh
        self._count(row, 1)
        self._enter(row)

    def _enter(self, row: Row) -> None:
        """Where the row belongs in the heap now; an entry of an older version counts no more."""
        key = None if row.why is not None else row.index if len(self._brokers) < 2 else row.level
        if key == row.key:
            return
        row.key = key
        self._versions += 1
        row.version = self._versions
        if key is None:
            return
        heapq.heappush(self._heap, (key, row.tie, row.id, row.version))
        if len(self._heap) > max(HEAP_MIN, 4 * len(self.rows)):
            self._heap = [(one.key, one.tie, one.id, one.version) for one in self.rows.values() if one.key is not None]
            heapq.heapify(self._heap)

    @property
    def published(self) -> int:
        return len(self.rows) + len(self._out)

    def best(self, most: int = CANDIDATES) -> list[Candidate]:
        """The least loaded servers that have room: those of about the same load, because the first may be claimed meanwhile.

        Raises what refuses, by name and with counts.
        """
        found: list[tuple[float, int, str, int]] = []
        bound = inf
        while self._heap and self._heap[0][0] <= bound and len(found) < most:
            entry = heapq.heappop(self._heap)
            row = self.rows.get(entry[2])
            if row is not None and row.version == entry[3]:
                found.append(entry)
                bound = min(bound, entry[0] + (row.step / 2 if len(self._brokers) < 2 else 0))
        for entry in found:
            heapq.heappush(self._heap, entry)
        if not found:
            raise self.refusal()
        return [self._candidate(self.rows[server], self.rows[server].index) for _, _, server, _ in found]

    def candidate(self, server: str) -> Candidate | None:
        """This very server, if it has room."""
        row = self.rows.get(server)
        return None if row is None or row.why is not None else self._candidate(row, row.index)

    def asked(self, server: str, sign: int = 1) -> None:
        """The store is being asked for a place on this server (1), or has answered (-1): nobody else is sent there meanwhile."""
        row = self.rows.get(server)
        if row is not None:
            self._change(row, pending=max(0, row.pending + sign))

    def placed(self, server: str) -> None:
        self.correct(server, taken=1, starting=1, fresh=1)

    def ready(self, server: str) -> None:
        """A session that was starting has started."""
        self.correct(server, starting=-1)

    def failed(self, server: str) -> None:
        self.correct(server, taken=-1, starting=-1, fresh=-1)

    def correct(self, server: str, *, taken: int = 0, starting: int = 0, fresh: int = 0) -> None:
        row = self.rows.get(server)
        if row is not None:
            self.set(server, taken=row.taken + taken, starting=row.starting + starting, fresh=row.fresh + fresh)

    def set(self, server: str, *, taken: int, starting: int, fresh: int | None = None) -> None:
        """What the store says of a server is true: `fresh` grows by what others placed."""
        row = self.rows.get(server)
        if row is not None:
            fresh = row.fresh + taken - row.taken if fresh is None else fresh
            row.turn = self._turn
            self._change(row, taken=max(0, taken), starting=max(0, starting), fresh=max(0, fresh))

    def _change(self, row: Row, **values: int) -> None:
        self._count(row, -1)
        for name, value in values.items():
            setattr(row, name, value)
        self._count(row, 1)
        self._enter(row)

    def without(self, server: str) -> None:
        """This server does not answer; for how long, the next snapshot says."""
        if server in self.rows:
            self._drop(server)
            self._out[server] = Why.SILENT

    def _drop(self, server: str) -> None:
        self._count(self.rows.pop(server), -1)

    def account(self) -> dict[str, int]:
        """How many servers are kept from taking a session, by why."""
        out = Counter(self._out.values())
        return {str(why): count for why in Why if (count := out[why] + self._busy[why])}

    def _count(self, row: Row, sign: int) -> None:
        self.room += sign * row.room
        if row.why is not None:
            self._busy[row.why] += sign

    def refusal(self) -> CloisterError:
        if not self.all:
            return Unavailable("No server has reported in.", hint="Is the part 'agent' running?", reason="no-server")
        if not self.published:
            text = f"None of {self.all:,} servers offers '{self.application}' here."
            return Unavailable(text, hint="A delivery group publishes it: cloister server list.", reason="not-published")
        account = self.account()
        nearest = next(why for why in Why if str(why) in account)
        which = "server" if self.published == 1 else "servers"
        text = f"{self.published:,} {which}: {', '.join(f'{count:,} {why}' for why, count in account.items())}."
        kind = Busy if nearest in PASSING else Unavailable
        return kind(f"No server can take a session now. {text}", hint=HINT[nearest], reason=REASON[nearest])

    @staticmethod
    def _candidate(row: Row, index: float) -> Candidate:
        return Candidate(server=row.id, taken=row.taken + row.pending, limit=row.limit, tolerance=row.tolerance, index=index)


@lru_cache(maxsize=100_000)
def tie(server: str, broker: str, brokers: tuple[str, ...]) -> int:
    """Small for a broker's own part of the servers. Rendezvous hashing: when one broker goes, only its part moves."""
    owner = max(brokers, key=lambda one: crc32(f"{server} {one}".encode()), default=broker)
    return crc32(f"{broker} {server}".encode()) + ((owner != broker) << 32)


@dataclass(frozen=True, slots=True)
class Publishes:
    """What the groups of a server come to, for one application and hospital. `limit` None: its slots bound it."""

    fits: bool  # its image is what a group wants
    limit: int | None
    tolerance: int


def _publishes(groups: list[Group], wanted: Wanted, image: str) -> Publishes | None:
    """None: these groups do not publish it here."""
    through = [group for group in groups if group.publishes(wanted.application, wanted.hospital, wanted.role)]
    fitting = [group for group in through if group.image in ("", image)]
    limits = [group.server_max for group in fitting]
    most = None if None in limits else max((limit for limit in limits if limit is not None), default=None)
    return Publishes(bool(fitting), most, max((group.tolerance for group in fitting), default=0)) if through else None


def _kept_out(server: Server, publishes: Publishes, now: datetime) -> Why | None:
    """What keeps a server out until the next snapshot, whatever is placed meanwhile."""
    if server.state in OF_STATE:
        return OF_STATE[server.state]
    if silent(server, now):
        return Why.SILENT
    if not publishes.fits:
        return Why.IMAGE
    return Why.MEMORY if server.memory > MEMORY_USED_MAX else None


def meeting_point(person: str, ranking: Ranking) -> list[Candidate]:
    """Where a person goes while brokers cannot ask a common store: each broker finds the same servers in the same order.

    Rendezvous hashing: the agent there is the one who sees a second start of the same person.
    """
    order = sorted(ranking.rows, key=lambda server: crc32(f"{person} {server}".encode()), reverse=True)
    found = [candidate for server in order[:64] if (candidate := ranking.candidate(server)) is not None]
    if not found:
        raise ranking.refusal()
    return found[:CANDIDATES]


@dataclass(frozen=True, slots=True)
class Publishing:
    """The delivery groups, by id."""

    groups: Mapping[str, Group]


def place(servers: Iterable[Server], *, wanted: Wanted, publishing: Publishing, now: datetime) -> str:
    """The id of the least loaded server that may take what is wanted; for who places once, without a ranking to keep."""
    return Ranking(servers, publishing.groups, wanted=wanted, now=now).best(1)[0].server
