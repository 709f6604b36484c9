"""The estate's store with a copy beside it: while the database is away, brokers go on from what they last knew, and tell it afterwards.

What it may not do then, and why nobody has two sessions in the end: docs/farm.md, "When the database is away".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Unavailable
from cloister.base.telemetry import log
from cloister.farm.claims import AWAY, Claim, Claimed, Outcome, Snapshot
from cloister.farm.claims_store import ROWS_AT_ONCE
from cloister.farm.groups import Application, Group
from cloister.farm.licences import Pool
from cloister.farm.local_copy import LocalCopy
from cloister.farm.placement import Server, ServerState, Session, Wanted
from cloister.farm.queue import QueuePlace
from cloister.farm.states import LIVE, SessionState
from cloister.farm.store import EstateStore, Store

ANSWER_SECONDS_MAX: Final = 5.0  # a database that takes longer is away
RETRY_SECONDS: Final = 1.0
SNAPSHOT_SECONDS_MAX: Final = 5.0  # the copy takes the one that the broker's view asked for lately
OVERLAP: Final = timedelta(seconds=10)  # changes are asked for again: a transaction may end after a later one

T = TypeVar("T")
EndSession = Callable[[str, str, str], Awaitable[None]]  # server, session, why


class LocalCache:
    """A Store. `end` ends a session on its server: one that turns out to be somebody's second."""

    def __init__(self, store: EstateStore, *, broker: str, clock: Clock, end: EndSession) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._end = end
        self._copy = LocalCopy()
        self._until: datetime | None = None  # the copy has all changes up to here
        self._next_try = 0.0
        self._latest: tuple[float, Snapshot] | None = None
        self._returning = asyncio.Lock()
        self.away = False

    async def _do(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        if not self.away or await self._back():
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    return await ask(self._store)
            except TimeoutError:
                self._lost()
            except Unavailable as lost:
                if lost.reason != "database":
                    raise
                self._lost()
        return await ask(self._copy)

    def _lost(self) -> None:
        if self._until is None:  # nothing was ever known
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database")
        if not self.away:
            log("broker.database_lost", level="warning", sessions=len(self._copy.rows), kept=sum(map(len, self._copy.kept.values())))
        self.away = True
        self._next_try = asyncio.get_running_loop().time() + RETRY_SECONDS

    # --- keeping the copy, and coming back ------------------------------------------------------------

    async def refresh(self) -> None:
        """Bring the copy up to date; every few seconds, and once before anything is asked of it."""
        snapshot = await self._recent()
        since = None if self._until is None else self._until - OVERLAP
        changed = await self._store.changed(since)
        kept = await self._store.kept_seats(self._broker)
        for number in range(0, len(changed), ROWS_AT_ONCE):
            self._copy.learn(changed[number : number + ROWS_AT_ONCE])
            if not self.away:
                await asyncio.sleep(0)  # a storm changes thousands in these seconds, and somebody waits for a page
                if self.away:
                    return  # lost meanwhile: from now on the copy knows better than what was read before
        self._copy.copy(snapshot, kept)
        self._until = snapshot.at

    async def _recent(self) -> Snapshot:
        if self._latest is None or self.away or asyncio.get_running_loop().time() - self._latest[0] > SNAPSHOT_SECONDS_MAX:
            return await self._store.snapshot(now=self._clock())
        return self._latest[1]

    async def _back(self) -> bool:
        """Whether the database is there again, and knows by now what happened meanwhile; asked at most every second."""
        if asyncio.get_running_loop().time() < self._next_try or self._returning.locked():
            return False
        async with self._returning:
            self._next_try = asyncio.get_running_loop().time() + RETRY_SECONDS
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    await self._store.applications()
                await self._tell()
                self._copy.touched.clear()
                await self.refresh()
            except (CloisterError, TimeoutError):
                return False
            self.away = False
            log("broker.database_back", sessions=len(self._copy.rows))
            return True

    async def _tell(self) -> None:
        told = {"adopted": 0, "known": 0, "double": 0, "licences": 0, "changed": 0}
        for session in list(self._copy.touched):
            row = self._copy.rows.get(session)
            if row is None or row.slot is None:
                continue
            if not session.startswith(AWAY):
                await self._store.merge(row)
                told["changed"] += 1
                continue
            if row.state not in LIVE:
                await self._store.merge(row)
                continue
            outcome = await self._store.adopt(row, self._broker, self._copy.seat_of.get(session))
            told[outcome] += 1
            if outcome == "known":
                await self._store.merge(row)
            elif outcome != "adopted":
                await self._end(row.server, row.id, outcome)
            self._copy.touched.pop(session, None)
        log("broker.reconciled", told=" ".join(f"{count} {what}" for what, count in told.items() if count) or "nothing")

    # --- as a store -----------------------------------------------------------------------------------

    async def session(self, session: str) -> Session | None:
        return await self._do(lambda store: store.session(session))

    def nobody(self, person: str) -> bool:
        """The copy is a few seconds old; for nearly all who come in the morning it is right, and one question less is asked."""
        return self._copy.nobody(person)

    async def live_of(self, person: str) -> list[Session]:
        return await self._do(lambda store: store.live_of(person))

    async def sessions(self, server: str | None = None) -> list[Session]:
        return await self._do(lambda store: store.sessions(server))

    async def servers(self) -> list[Server]:
        return await self._do(lambda store: store.servers())

    async def add_session(self, session: Session) -> None:
        await self._do(lambda store: store.add_session(session))

    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool:
        return await self._do(lambda store: store.set_placed(session, server, slot, now=now))

    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool:
        return await self._do(lambda store: store.set_state(session, known, state, why, now=now))

    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool:
        return await self._do(lambda store: store.set_epoch(session, known, epoch, now=now))

    async def set_server(self, server: Server) -> None:
        await self._do(lambda store: store.set_server(server))

    async def set_server_state(self, server: str, known: ServerState, state: ServerState, why: str) -> bool:
        return await self._do(lambda store: store.set_server_state(server, known, state, why))

    async def set_seen(self, server: str, *, load: float, memory: float, free: int, now: datetime) -> bool:
        return await self._do(lambda store: store.set_seen(server, load=load, memory=memory, free=free, now=now))

    async def forget_ended(self, before: datetime) -> None:
        await self._do(lambda store: store.forget_ended(before))

    async def applications(self) -> list[Application]:
        return await self._do(lambda store: store.applications())

    async def set_application(self, application: Application) -> None:
        await self._store.set_application(application)

    async def groups(self) -> list[Group]:
        return await self._do(lambda store: store.groups())

    async def set_group(self, group: Group) -> None:
        await self._store.set_group(group)

    async def snapshot(self, *, now: datetime) -> Snapshot:
        if self._until is None:
            await self.refresh()
        found = await self._do(lambda store: store.snapshot(now=now))
        if not found.away:
            self._latest = (asyncio.get_running_loop().time(), found)
        return found

    async def claim(self, claim: Claim, *, now: datetime) -> Claimed:
        """Without the database only what was chosen without it: anything else is chosen again, from the copy.

        A claim that was asked of the database and not answered may hold there; nobody comes for it, and it is ended later.
        """

        async def asked(store: Store) -> Claimed:
            if store is self._store or claim.session.startswith(AWAY):
                return await store.claim(claim, now=now)
            return Claimed(outcome=Outcome.EXISTS)

        return await self._do(asked)

    async def adopt(self, row: Session, broker: str, seat: int | None) -> str:
        return await self._do(lambda store: store.adopt(row, broker, seat))

    async def revive(self, session: str, server: str, state: SessionState, *, now: datetime) -> bool:
        return await self._do(lambda store: store.revive(session, server, state, now=now))

    async def wait(self, wanted: Wanted, reason: str, *, now: datetime) -> QueuePlace:
        return await self._do(lambda store: store.wait(wanted, reason, now=now))

    async def leave(self, wanted: Wanted) -> None:
        await self._do(lambda store: store.leave(wanted))

    async def refused(self, wanted: Wanted, broker: str, reason: str, text: str, *, now: datetime) -> None:
        await self._do(lambda store: store.refused(wanted, broker, reason, text, now=now))

    async def decision(self, session: str) -> dict[str, Any]:
        return await self._do(lambda store: store.decision(session))

    async def set_pool(self, pool: Pool) -> None:
        await self._store.set_pool(pool)

    async def drop_pool(self, application: str) -> None:
        await self._store.drop_pool(application)

    async def tend(self, broker: str, *, now: datetime) -> list[str]:
        lost = await self._do(lambda store: store.tend(broker, now=now))
        if not self.away:
            await self.refresh()
        return lost
