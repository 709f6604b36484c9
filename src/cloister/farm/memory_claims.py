"""Claims in memory: what PostgreSQL does in migrations/003, by the pure models of this room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cloister.base.errors import Busy
from cloister.farm.claims import Claim, Claimed, Outcome, PoolNow, Snapshot
from cloister.farm.groups import Application, Group
from cloister.farm.licences import LEASE, Pool, Seat, Usage, take, usage
from cloister.farm.placement import Server, ServerState, Session, Wanted
from cloister.farm.queue import ASKED_WITHIN, QueuePlace, Waiting, place_of
from cloister.farm.states import LIVE, SessionState

START_WITHIN = timedelta(seconds=30)
VOUCHED_WITHIN = timedelta(seconds=30)
BUCKET = timedelta(minutes=5)


class MemoryClaims:
    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.seen_servers: dict[str, Server] = {}
        self.published: dict[str, Application] = {}
        self.delivery: dict[str, Group] = {}
        self.pools: dict[str, Pool] = {}
        self.seats: dict[str, dict[int, Seat]] = {}
        self.queue: dict[tuple[str, str, str], Waiting] = {}
        self.refusals: list[tuple[datetime, str, str, str]] = []
        self.decisions: dict[str, Mapping[str, Any]] = {}
        self.samples: dict[tuple[str, datetime], int] = {}
        self.on_server: dict[str, dict[str, None]] = {}
        self._of_person: dict[str, dict[str, None]] = {}
        self._starting: Counter[str] = Counter()
        self._fresh: Counter[str] = Counter()
        self._seat_of: dict[str, tuple[str, int]] = {}
        self._used: Counter[tuple[str, str]] = Counter()
        self._last_seat: dict[str, int] = {}
        self._arrivals = 0

    # --- rows ------------------------------------------------------------------------------------

    def live(self, person: str) -> list[Session]:
        return [self.rows[session] for session in self._of_person.get(person, {}) if session in self.rows]

    def write(self, row: Session) -> None:
        """Every change of a session comes through here, so that counts and seats follow it."""
        before = self.rows.get(row.id)
        if before is not None:
            self._count(before, -1)
        self.rows[row.id] = row
        self._count(row, 1)
        if row.state is SessionState.ENDED:
            self._give_back(row.id)

    def _count(self, row: Session, sign: int) -> None:
        if row.state is not SessionState.ENDED:
            _mark(self.on_server, row.server, row.id, sign)
            self._starting[row.server] += sign * (row.state is SessionState.STARTING)
        if row.state in LIVE:
            _mark(self._of_person, row.person, row.id, sign)

    def forget(self, before: datetime) -> None:
        old = [row.id for row in self.rows.values() if row.state is SessionState.ENDED and row.changed < before]
        for session in old:
            del self.rows[session]
            self.decisions.pop(session, None)

    def report(self, server: Server) -> None:
        """What a server says is of now: nothing placed before is fresh any more."""
        self.seen_servers[server.id] = server
        self._fresh[server.id] = 0

    def counted(self, server: Server) -> Server:
        taken = len(self.on_server.get(server.id, ()))
        return replace(server, free=server.slots - taken, starting=self._starting[server.id], fresh=self._fresh[server.id])

    # --- placing ---------------------------------------------------------------------------------

    async def snapshot(self, *, now: datetime) -> Snapshot:
        servers = {name: self.counted(server) for name, server in sorted(self.seen_servers.items())}
        pools = {name: PoolNow(pool=pool, used=self.use(name)) for name, pool in self.pools.items()}
        return Snapshot(at=now, servers=servers, groups=dict(self.delivery), applications=dict(self.published), pools=pools)

    async def claim(self, claim: Claim, *, now: datetime) -> Claimed:
        wanted, name = claim.wanted, claim.application.id
        mine = self.live(wanted.person)
        of_application = [row for row in mine if row.application == name]
        if any(row.label == wanted.label for row in of_application):
            return Claimed(outcome=Outcome.EXISTS)
        if len(of_application) >= claim.each_max or len(mine) >= claim.person_max:
            return Claimed(outcome=Outcome.EACH_MAX)
        if self.queue and self._before(wanted, now) >= max(claim.room, 1):
            return Claimed(outcome=Outcome.BEHIND)
        most = claim.application.sessions_max
        if most is not None and sum(r.application == name and r.state is not SessionState.ENDED for r in self.rows.values()) >= most:
            return Claimed(outcome=Outcome.APPLICATION_MAX)
        server, held = self._first_with_room(claim)
        if server is None:
            return Claimed(outcome=Outcome.MOVED, held=held)
        seat = None
        if name in self.pools:
            seat = self._take(name, claim.session, wanted.emergency, now)
            if seat is None:
                return Claimed(outcome=Outcome.LICENCES, held=held)
        self.write(
            Session(
                id=claim.session, person=wanted.person, role=wanted.role, kind=wanted.kind, label=wanted.label, server=server, slot=None,
                epoch=1, state=SessionState.STARTING, why="", started=now, changed=now, application=name,
            )
        )  # fmt: skip
        self._fresh[server] += 1
        self.decisions[claim.session] = claim.decision
        self.queue.pop((wanted.person, name, wanted.label), None)
        return Claimed(outcome=Outcome.PLACED, server=server, seat=seat, held=held)

    def _first_with_room(self, claim: Claim) -> tuple[str | None, dict[str, tuple[int, int]]]:
        held: dict[str, tuple[int, int]] = {}
        for one in claim.candidates:
            row = self.seen_servers.get(one.server)
            ready = row is not None and row.state is ServerState.READY
            taken, starting = len(self.on_server.get(one.server, ())), self._starting[one.server]
            held[one.server] = (taken if ready else -2, starting)
            if ready and taken <= one.taken and taken < one.limit and starting < one.tolerance:
                return one.server, held
        return None, held

    # --- the queue -------------------------------------------------------------------------------

    def _before(self, wanted: Wanted, now: datetime) -> int:
        key = (wanted.person, wanted.application, wanted.label)
        mine = self.queue.get(key) or _arrived(wanted, self._arrivals + 1, "", now)
        others = [one for one in self.queue.values() if one.person != wanted.person]
        return place_of(mine, others, now).place - 1

    async def wait(self, wanted: Wanted, reason: str, *, now: datetime) -> QueuePlace:
        key = (wanted.person, wanted.application, wanted.label)
        mine = self.queue.get(key)
        if mine is None or now - mine.asked >= ASKED_WITHIN:
            self._arrivals += 1
            mine = _arrived(wanted, self._arrivals, reason, now)
        self.queue[key] = mine = replace(mine, asked=now, emergency=wanted.emergency, reason=reason)
        return place_of(mine, [one for one in self.queue.values() if one.person != wanted.person], now)

    async def leave(self, wanted: Wanted) -> None:
        self.queue.pop((wanted.person, wanted.application, wanted.label), None)

    async def refused(self, wanted: Wanted, broker: str, reason: str, text: str, *, now: datetime) -> None:
        self.refusals.append((now, wanted.person, reason, text))

    async def decision(self, session: str) -> dict[str, Any]:
        row = self.rows.get(session)
        if row is None:
            return {}
        seat = self._seat_of.get(session, ("", None))[1]
        facts = {"server": row.server, "application": row.application, "started": row.started, "seat": seat}
        return {**self.decisions.get(session, {}), **facts}

    # --- licences --------------------------------------------------------------------------------

    def use(self, application: str) -> Usage:
        """Counted as seats come and go: a pool of 24,000 is asked often."""
        names = ("ordinary", "reserve", "grace", "retired", "kept")
        return Usage(**{name: self._used[application, name] for name in names})

    async def set_pool(self, pool: Pool) -> None:
        held = self.seats.setdefault(pool.application, {})
        self.pools[pool.application] = replace(pool, grace_since=None)
        self._recount(pool.application)
        now = max((row.changed for row in self.rows.values()), default=None)
        for row in sorted(self.rows.values(), key=lambda one: (one.started, one.id)):
            if row.application == pool.application and row.state is not SessionState.ENDED and row.id not in self._seat_of and now:
                self._take(pool.application, row.id, True, now)
        assert len(held) <= pool.seats + pool.grace + self.use(pool.application).retired

    async def drop_pool(self, application: str) -> None:
        self.pools.pop(application, None)
        for seat in self.seats.pop(application, {}).values():
            self._seat_of.pop(seat.holder, None)

    def _take(self, application: str, session: str, emergency: bool, now: datetime) -> int | None:
        pool, held = self.pools[application], self.seats[application]
        try:
            number = take(pool, held, emergency=emergency, now=now, after=self._last_seat.get(application, 0))
        except Busy:
            return None
        held[number] = Seat(number, session, now + LEASE)
        self._seat_of[session] = (application, number)
        self._used[application, str(pool.kind(number))] += 1
        self._last_seat[application] = number
        if number > pool.seats and pool.grace_since is None:
            self.pools[application] = replace(pool, grace_since=now)
        return number

    def _give_back(self, session: str) -> None:
        application, number = self._seat_of.pop(session, ("", 0))
        if application:
            del self.seats[application][number]
            self._used[application, str(self.pools[application].kind(number))] -= 1

    def _recount(self, application: str) -> None:
        found = usage(self.pools[application], self.seats[application].values())
        for name in ("ordinary", "reserve", "grace", "retired", "kept"):
            self._used[application, name] = getattr(found, name)

    async def adopt(self, row: Session, broker: str, seat: int | None) -> str:
        """A session that its server has and the store does not know."""
        if row.id in self.rows:
            return "known"
        if any((one.application, one.label) == (row.application, row.label) for one in self.live(row.person)):
            return "double"
        self.write(row)
        if row.application in self.pools and self._take(row.application, row.id, False, row.changed) is None:
            self.write(replace(row, state=SessionState.ENDED, why="licences"))
            return "licences"
        return "adopted"

    async def tend(self, broker: str, *, now: datetime) -> list[str]:
        """Leases renewed and ended, usage sampled, lost starts ended. In memory there is one broker, and it is always steady."""
        for name, held in self.seats.items():
            for seat in list(held.values()):
                row = self.rows[seat.holder]
                if seat.expires < now + LEASE / 2 and now - self.seen_servers[row.server].seen < VOUCHED_WITHIN:
                    held[seat.number] = replace(seat, expires=now + LEASE)
                elif seat.expires < now:
                    self.write(replace(row, state=SessionState.ENDED, why="lease-over", changed=now))
            at = now - timedelta(seconds=now.timestamp() % BUCKET.total_seconds())
            self.samples[name, at] = max(self.samples.get((name, at), 0), self.use(name).used)
        lost = [
            row
            for row in self.rows.values()
            if row.state is SessionState.STARTING and row.slot is None and now - row.started > START_WITHIN
        ]
        for row in lost:
            self.write(replace(row, state=SessionState.ENDED, why="start-lost", changed=now))
        return [f"{row.server} {row.id}" for row in lost]


def _arrived(wanted: Wanted, number: int, reason: str, now: datetime) -> Waiting:
    return Waiting(
        person=wanted.person, application=wanted.application, label=wanted.label, emergency=wanted.emergency,
        number=number, since=now, asked=now, reason=reason,
    )  # fmt: skip


def _mark(index: dict[str, dict[str, None]], key: str, session: str, sign: int) -> None:
    if sign > 0:
        index.setdefault(key, {})[session] = None
    else:
        index.get(key, {}).pop(session, None)
