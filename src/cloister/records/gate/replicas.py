"""Reads from standbys: which one may answer whom, and which is away. docs/replicas.md.

A standby answers a session only with what is at least as new as all that this session has seen or written, and no older than
the bound of the setting. Nothing is asked of PostgreSQL for that: every few milliseconds the primary's position is noted with
the moment before it was asked for, and whatever a standby has replayed up to there shows all that was there at that moment.
Who holds which zone, and the audit log, are always the primary's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from cloister.base.database import LOST
from cloister.base.telemetry import log
from cloister.records.gate import reading
from cloister.records.gate.connections import Connections
from cloister.records.gate.statement import Call
from cloister.records.gate.together import Together

# Statements that only read what is sealed; every other goes to the primary.
READS: Final = frozenset({"rows_by_id", "rows", "versions", "past", "locate", "open_dossiers", "commits", "find", "shard", "dossiers"})
TICK_SECONDS: Final = 0.02
AWAY_SECONDS: Final = 1.0  # between two looks at one that is away
LOOK_SECONDS_MAX: Final = 2.0
SAMPLES_MAX: Final = 500
CONNECTIONS_MAX: Final = 8
PRIMARY: Final = "select (pg_current_wal_lsn() - '0/0')::int8, (select system_identifier from pg_control_system())"
STANDBY: Final = """
    select pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0')::int8, (select system_identifier from pg_control_system())"""
FAILED: Final = (*LOST, TimeoutError, asyncpg.PostgresError)


@dataclass(slots=True)
class Replica:
    """One standby. `fresh` is the moment of the primary that it certainly shows (time.monotonic)."""

    name: str
    database: Connections
    rows: Together[tuple[int, bytes]]
    opened: Together[Any]
    charts: Together[Any]
    fresh: float = float("-inf")
    away: str = "not asked yet"  # why it is not used; empty when it is
    asked: float = float("-inf")


@dataclass(slots=True)
class _Seen:
    """What one session has seen: all that the primary had at `primary`; and what `replica` showed it at `at`."""

    primary: float = float("-inf")
    replica: Replica | None = None
    at: float = float("-inf")


@dataclass(slots=True)
class Replicas:
    """All of one gate; none where the setting names none, and then nothing here costs anything."""

    primary: Connections
    staleness_seconds: float
    known: list[Replica] = field(default_factory=list)
    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    _system: int = 0
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _turn: int = 0

    @classmethod
    def of(cls, primary: Connections, places: Mapping[str, Mapping[str, Any]], staleness_seconds: float) -> Replicas:
        """`places`: what each connects with, by name."""
        made = cls(primary, staleness_seconds)
        for name, arguments in places.items():
            database = Connections({**arguments, "timeout": LOOK_SECONDS_MAX}, largest=CONNECTIONS_MAX)
            rows, opened = Together(database, reading.rows_together), Together(database, reading.opened_together)
            made.known.append(Replica(name, database, rows, opened, Together(database, reading.charts_together)))
        return made

    def chosen(self, session: str, method: str) -> Replica | None:
        """Who may answer this session's statement; None: the primary."""
        if not self.known or method not in READS:
            return None
        seen = self._seen.get(session) or _Seen()
        oldest = max(seen.primary, time.monotonic() - self.staleness_seconds)
        if seen.replica is not None and not seen.replica.away and seen.replica.fresh >= oldest:
            return seen.replica
        # Another one than the last must show at least what that one has shown.
        able = [one for one in self.known if not one.away and one.fresh >= max(oldest, seen.at)]
        self._turn += 1
        return able[self._turn % len(able)] if able else None

    def saw(self, session: str, replica: Replica | None) -> None:
        """The session was answered just now."""
        if not self.known:
            return
        seen = self._seen.setdefault(session, _Seen())
        if replica is None:
            seen.primary = time.monotonic()
        else:
            seen.replica, seen.at = replica, time.monotonic()

    def forget(self, session: str) -> None:
        self._seen.pop(session, None)

    def failed(self, replica: Replica, why: BaseException) -> None:
        """The primary answers instead. A query that the standby cancelled for its own replay is not its end."""
        if not isinstance(why, asyncpg.SerializationError):
            self._take_out(replica, type(why).__name__)

    async def watch(self) -> None:
        """For ever: where the primary is, and how far each has followed."""
        while self.known:
            began = time.monotonic()
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    row = await self.primary.fetchrow(PRIMARY)
                self._samples.append((began, row[0]))
                self._system = row[1]
            except FAILED:
                pass  # without the primary's word none gets fresher
            else:
                await asyncio.gather(*(self._look(one) for one in self.known if not one.away or began - one.asked > AWAY_SECONDS))
            await asyncio.sleep(TICK_SECONDS)

    async def _look(self, replica: Replica) -> None:
        replica.asked = time.monotonic()
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                standby, replayed, system = await replica.database.fetchrow(STANDBY)
        except FAILED as lost:
            self._take_out(replica, type(lost).__name__)
            return
        if not standby or system != self._system:
            self._take_out(replica, "it is no standby of this database")
            return
        replica.fresh = max((moment for moment, position in self._samples if position <= replayed), default=replica.fresh)
        if replica.away:
            replica.away = ""
            log("gate.replica_back", replica=replica.name)

    def _take_out(self, replica: Replica, why: str) -> None:
        if not replica.away or replica.away == "not asked yet":
            log("gate.replica_away", level="warning", replica=replica.name, why=why)
        replica.away, replica.fresh = why, float("-inf")

    def close(self) -> None:
        for one in self.known:
            one.database.close()


def through(call: Call, replica: Replica) -> Call:
    """The same call, answered by a standby."""
    return Call(
        person=call.person, session=call.session, role=call.role, zones=call.zones, proofs=call.proofs,
        database=replica.database, rows=replica.rows, opened=replica.opened, charts=replica.charts, writes=call.writes,
        asked=call.asked, heads=None,
    )  # fmt: skip
