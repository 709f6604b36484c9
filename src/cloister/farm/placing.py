"""Starting: back to the live session, or a new one where the ranking says, claimed in the store before the agent is asked.

Who finds everything taken waits here for a moment, and then is told their place in the queue: they keep it while they ask again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Busy, CloisterError, Conflict, Invalid, NotFound, Unavailable
from cloister.base.ids import new_id
from cloister.base.telemetry import log
from cloister.farm import licences
from cloister.farm.calls import AgentCalls, Placed
from cloister.farm.claims import AWAY, Claim, Claimed, Outcome, Snapshot
from cloister.farm.groups import Application, ApplicationKind
from cloister.farm.licences import Pool
from cloister.farm.lifecycle import Lifecycle
from cloister.farm.placement import PERSON_SESSIONS_MAX, Rejoin, Session, SessionKind, Wanted, decide, each_max, too_many
from cloister.farm.queue import QueuePlace, Wait
from cloister.farm.ranking import Candidate, Ranking, meeting_point
from cloister.farm.states import SessionState
from cloister.farm.store import Store
from cloister.farm.view import View

SPAWN_SECONDS_MAX: Final = 20
PATIENCE_SECONDS: Final = 5.0  # somebody waits so long here, before they are told to ask again
VIEW_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 0.1
PAUSE_SECONDS_MAX: Final = 0.5
CLAIMS_AT_ONCE: Final = 6  # of one broker: more wait for each other in the database
CLAIMS_MAX: Final = 40  # tries of one start while others are faster
SERVERS_MAX: Final = 3  # that fail to start it, before it is given up
PERSON_HERE: Final = "person-here"
START_SECONDS_MAX: Final = 30  # a start older than this is nobody's any more


LimitsOf = Callable[[Wanted, str], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class Attempt:
    """One person's start: what has been tried. `where`: the terminal, which an older page is told when the session goes there."""

    wanted: Wanted
    where: str
    began: datetime
    claims: int = 0
    place: QueuePlace | None = None
    failed: int = 0
    judged: bool = False  # once, by what was known; from then on by a new snapshot


class Placing:
    def __init__(
        self,
        *,
        store: Store,
        agents: Callable[[str], AgentCalls],
        lifecycle: Lifecycle,
        clock: Clock,
        limits: LimitsOf | None = None,
        broker: str = "broker",
        patience_seconds: float = PATIENCE_SECONDS,
        view_seconds: float = VIEW_SECONDS,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`limits`: how long a session lasts, by policy; the server's own settings where it says nothing."""
        self._limits = limits
        self._store = store
        self._agents = agents
        self._lifecycle = lifecycle
        self._clock = clock
        self._broker = broker
        self._patience = timedelta(seconds=patience_seconds)
        self._pause = pause
        self.view = View(store, clock, salt=broker, seconds=view_seconds)
        self._claiming = asyncio.Semaphore(CLAIMS_AT_ONCE)
        self._turns: dict[tuple[str, str, str], tuple[asyncio.Lock, int]] = {}

    async def start(
        self, person: str, role: str, kind: str, label: str, *, application: str, hospital: str = "", where: str = ""
    ) -> Placed:
        """Raises Wait with the place in the queue when everything is taken, and otherwise what refuses, by name."""
        wanted = Wanted(person=person, role=role, kind=_kind(kind), label=label, application=application, hospital=hospital)
        pool = (await self.view.usable()).pools.get(application)
        wanted = replace(wanted, emergency=pool is not None and is_emergency(pool.pool, role, where))
        attempt = Attempt(wanted, where, self._clock())
        async with self._turn(wanted):
            try:
                return await self._started(attempt)
            except CloisterError as refused:
                await self._refused(attempt, refused)
                raise

    async def _started(self, attempt: Attempt) -> Placed:
        pause = PAUSE_SECONDS
        while True:
            snapshot = await (self.view.fresh() if attempt.judged else self.view.usable())
            again, attempt.judged = self.view.old and not attempt.judged, True
            try:
                placed = await self._tried(attempt, snapshot)
            except (Busy, NotFound, Unavailable) as full:
                if again and not attempt.failed:
                    continue
                if not isinstance(full, Busy) or full.reason not in WAITABLE:
                    raise
                attempt.place = await self._store.wait(attempt.wanted, full.reason, now=self._clock())
                if self._clock() - attempt.began >= self._patience:
                    raise Wait(full, attempt.place) from None
                placed = None
            if placed is not None:
                return placed
            await self._pause(pause)
            pause = min(PAUSE_SECONDS_MAX, pause * 1.5)

    async def _tried(self, attempt: Attempt, snapshot: Snapshot) -> Placed | None:
        """None: try again in a moment. Busy: everything is taken."""
        application = snapshot.applications.get(attempt.wanted.application)
        if application is None:
            raise NotFound("There is no such application.", hint="Start what the start page shows.", reason="application")
        unknown = not attempt.claims and self._store.nobody(attempt.wanted.person)
        live = [] if unknown else await self._store.live_of(attempt.wanted.person)
        choice = decide(live, snapshot.servers, wanted=attempt.wanted, application=application, now=snapshot.at)
        if isinstance(choice, Rejoin):
            return await self._rejoin(choice.session, attempt, snapshot)
        try:
            return await self._new(attempt, application, snapshot)
        except (Busy, Unavailable):  # before somebody is refused for want of a server, it is asked whether they have a session
            if unknown and not attempt.failed and await self._store.live_of(attempt.wanted.person):
                return None
            raise

    # --- a new session -----------------------------------------------------------------------------

    async def _new(self, attempt: Attempt, application: Application, snapshot: Snapshot) -> Placed | None:
        session = f"{AWAY}{new_id()}" if snapshot.away else new_id()
        claimed = await self._claimed(session, attempt, application, snapshot)
        if claimed is None:
            return None
        try:
            placed = await self._spawned(session, claimed.server, attempt.wanted, application)
        except CloisterError as refused:
            self.view.each(lambda ranking: ranking.failed(claimed.server))
            await self._lifecycle.ended(session, refused.reason or refused.category)
            if refused.reason == PERSON_HERE:
                return await self._found(refused.expression, claimed.server, attempt, application)
            attempt.failed += 1
            if not isinstance(refused, Unavailable) or refused.reason == "database" or attempt.failed >= SERVERS_MAX:
                raise
            log("broker.server_failed", level="warning", server=claimed.server, reason=refused.reason)
            self.view.unusable(claimed.server)
            if not self.view.ranking(snapshot, attempt.wanted).room:
                self.view.stale()
                raise
            return await self._new(attempt, application, snapshot)
        self.view.each(lambda ranking: ranking.ready(claimed.server))
        return placed

    async def _claimed(self, session: str, attempt: Attempt, application: Application, snapshot: Snapshot) -> Claimed | None:
        """A server that is ours, after as many tries as it takes while other brokers are faster."""
        wanted = attempt.wanted
        most, reason = each_max(wanted, application)
        for _ in range(CLAIMS_MAX):
            attempt.claims += 1
            async with self._claiming:  # who waits for a connection chooses when there is one
                ranking = self.view.ranking(snapshot, wanted)
                candidates = meeting_point(wanted.person, ranking) if snapshot.away else ranking.best()
                claim = Claim(
                    session=session, wanted=wanted, application=application, each_max=most, person_max=PERSON_SESSIONS_MAX,
                    candidates=tuple(candidates), room=self._room(ranking, wanted, snapshot), broker=self._broker,
                    decision=self._record(attempt, ranking, candidates),
                )  # fmt: skip
                claimed = await self._asked(claim)
            match claimed.outcome:
                case Outcome.PLACED:
                    self.view.each(lambda ranking, server=claimed.server: ranking.placed(server))  # type: ignore[misc]
                    return claimed
                case Outcome.MOVED:  # the ranking has learnt what they hold, so the next choice is a better one
                    snapshot = await self.view.usable()
                case Outcome.EXISTS:
                    return None
                case Outcome.EACH_MAX:
                    raise too_many(most, most, reason)
                case outcome:
                    raise _taken(outcome, application, snapshot, wanted)
        raise Busy("Too many people sign in at this moment.", hint="It is your turn in a moment.", reason="tolerance")

    async def _asked(self, claim: Claim) -> Claimed:
        first = claim.candidates[0].server
        self.view.each(lambda ranking: ranking.asked(first))
        try:
            claimed = await self._store.claim(claim, now=self._clock())
        finally:
            self.view.each(lambda ranking: ranking.asked(first, -1))
        self.view.learnt(claimed)
        return claimed

    def _room(self, ranking: Ranking, wanted: Wanted, snapshot: Snapshot) -> int:
        pool = snapshot.pools.get(wanted.application)
        if pool is None:
            return ranking.room
        return min(ranking.room, pool.free(emergency=wanted.emergency, now=snapshot.at))

    def _record(self, attempt: Attempt, ranking: Ranking, candidates: list[Candidate]) -> dict[str, Any]:
        """Why this server: what the broker knew when it chose."""
        waited = (self._clock() - attempt.began).total_seconds()
        return {
            "broker": self._broker,
            "view_age_ms": round(self.view.age_seconds * 1000),
            "servers": ranking.published,
            "kept_out": ranking.account(),
            "best": [[one.server, round(one.index, 4), one.taken] for one in candidates[:4]],
            "tries": attempt.claims,
            "waited_ms": round(waited * 1000),
            "emergency": attempt.wanted.emergency,
        }

    async def _spawned(self, session: str, server: str, wanted: Wanted, application: Application) -> Placed:
        now = self._clock()
        row = Session(
            id=session, person=wanted.person, role=wanted.role, kind=wanted.kind, label=wanted.label, server=server, slot=None,
            epoch=1, state=SessionState.STARTING, why="", started=now, changed=now, application=application.id,
        )  # fmt: skip
        limits = await self._policy(wanted, server)
        reply = await self._agents(server).call("spawn", timeout_seconds=SPAWN_SECONDS_MAX, **_whose(row, application, limits))
        slot = int(reply["slot"])
        if not await self._store.set_placed(session, server, slot, now=self._clock()):
            raise Conflict("This session ended while it started.", hint="Sign in again.", reason="session-state")
        return Placed(session=replace(row, slot=slot, state=SessionState.LOCKED), public_key=bytes(reply["public_key"]))

    async def _found(self, said: str, server: str, attempt: Attempt, application: Application) -> Placed:
        """While the database is away another broker has started this person here: the agent says which session and slot it is."""
        session, slot, epoch = said.rsplit(" ", 2)
        now, w = self._clock(), attempt.wanted
        row = Session(
            id=session, person=w.person, role=w.role, kind=w.kind, label=w.label, server=server, slot=int(slot), epoch=int(epoch) + 1,
            state=SessionState.LOCKED, why="", started=now, changed=now, application=application.id,
        )  # fmt: skip
        reply = await self._agents(server).call("rejoin", session=session, epoch=row.epoch, where=attempt.where)
        await self._store.adopt(row, self._broker, None)
        return Placed(session=row, public_key=bytes(reply["public_key"]), reconnected=True, unlocked=bool(reply.get("unlocked")))

    async def _policy(self, wanted: Wanted, server: str) -> dict[str, Any]:
        try:
            return await self._limits(wanted, server) if self._limits is not None else {}
        except Unavailable:  # the server's own limits hold while the database, which has the policy, is away
            return {}

    # --- an old one --------------------------------------------------------------------------------

    async def _rejoin(self, session: Session, attempt: Attempt, snapshot: Snapshot) -> Placed | None:
        """None when it is starting elsewhere, or when the agent does not know it any more: then a new one is placed."""
        if session.slot is None:
            if (snapshot.at - session.started).total_seconds() >= START_SECONDS_MAX:
                await self._lifecycle.ended(session.id, "start-lost")
            return None
        epoch = session.epoch + 1
        if not await self._store.set_epoch(session.id, session.epoch, epoch, now=self._clock()):
            attempt.failed += 1
            if attempt.failed >= SERVERS_MAX:
                raise Conflict("This session is changing hands.", hint="Sign in again.", reason="session-state")
            return None
        try:
            reply = await self._agents(session.server).call("rejoin", session=session.id, epoch=epoch, where=attempt.where)
        except NotFound:
            await self._lifecycle.ended(session.id, "lost")
            return None
        unlocked = bool(reply.get("unlocked"))
        return Placed(session=replace(session, epoch=epoch), public_key=bytes(reply["public_key"]), reconnected=True, unlocked=unlocked)

    # --- around it ---------------------------------------------------------------------------------

    async def _refused(self, attempt: Attempt, refused: CloisterError) -> None:
        """Kept for `session why`; the refusal itself matters more than its record."""
        if refused.reason == "database" or (isinstance(refused, Wait) and refused.place.since < attempt.began):
            return
        with contextlib.suppress(CloisterError):
            reason = refused.reason or refused.category
            await self._store.refused(attempt.wanted, self._broker, reason, refused.text, now=self._clock())

    @asynccontextmanager
    async def _turn(self, wanted: Wanted) -> AsyncIterator[None]:
        """One start at a time for each person, application and label: two tabs signing in at once get the same session."""
        key = (wanted.person, wanted.application, wanted.label)
        lock, users = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns[key]
            if users == 1:
                del self._turns[key]
            else:
                self._turns[key] = (lock, users - 1)


WAITABLE: Final = frozenset({"tolerance", "slots", "memory", "server-starting", "licences", "application-sessions", "queue"})


def is_emergency(pool: Pool, role: str, address: str) -> bool:
    """Whether the pool's reserve is for this role, or for the terminal at this address."""
    for entry in pool.reserved_for:
        if entry == role:
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(address) in ipaddress.ip_network(entry, strict=False):
                return True
    return False


def _taken(outcome: Outcome, application: Application, snapshot: Snapshot, wanted: Wanted) -> Busy:
    if outcome is Outcome.LICENCES and application.id in snapshot.pools:
        pool = snapshot.pools[application.id]
        return licences.refusal(pool.pool, pool.used, emergency=wanted.emergency, now=snapshot.at)
    if outcome is Outcome.APPLICATION_MAX:
        text = f"'{application.name}' has {application.sessions_max:,} sessions, which is the most at once."
        return Busy(text, hint="Your place in the queue is kept.", reason="application-sessions")
    return Busy("Others came before.", hint="Your place in the queue is kept.", reason="queue")


def _whose(session: Session, application: Application, limits: dict[str, Any]) -> dict[str, Any]:
    """What the agent is told. A server that knows only the record is not troubled with another word."""
    s = session
    whose: dict[str, Any] = {"session": s.id, "person": s.person, "role": s.role, "kind": str(s.kind), "label": s.label, "epoch": s.epoch}
    if limits:
        whose["limits"] = limits
    if application.kind is ApplicationKind.RECORD:
        return whose
    return {**whose, "application": {"id": application.id, "kind": str(application.kind), "settings": dict(application.settings)}}


def _kind(kind: str) -> SessionKind:
    try:
        return SessionKind(kind)
    except ValueError:
        raise Invalid("A session is for a person or a program.", reason="kind") from None
