"""The keeper of servers: looks at health, opens windows, rolls through groups, tells people, ends sessions at the deadline.

It acts in one controller at a time (lease.py). What to do is decided by the pure functions beside it; what was decided is in the
database before anything is done, so that another controller goes on in the middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cloister.base.errors import CloisterError, Conflict
from cloister.base.ids import new_id
from cloister.base.telemetry import log
from cloister.farm.maintenance.health import WATCHED, ailment, judge
from cloister.farm.maintenance.rolling import Member, Turn, moves
from cloister.farm.maintenance.states import ServerEvent
from cloister.farm.maintenance.store import LEAVE_SECONDS, Drain, Kept, Rolling, UpkeepStore
from cloister.farm.maintenance.windows import Window, due
from cloister.farm.maintenance.words import closes
from cloister.farm.placement import SERVER_SILENT, ServerState
from cloister.farm.power.emptying import Held, emptying

ZONE: Final = "Europe/Paris"  # in which people are told the time, where nothing else is known
UNATTENDED: Final = ("locked", "disconnected")
WHY: Final = {"operator": "an operator empties it", "rolling": "maintenance of its group", "power": "it is not wanted now"}


Now = Callable[[], Awaitable[datetime]]


class People(Protocol):
    """The life cycle of sessions, as the keeper needs it."""

    async def tell(self, server: str, sessions: Sequence[str], text: Mapping[str, str]) -> None:
        """Show this on the open pages of these sessions."""

    async def end(self, server: str, sessions: Sequence[str], why: str) -> None:
        """End them gracefully: what is typed is saved first."""


class Restarts(Protocol):
    async def restart(self, server: str) -> bool:
        """Switch this empty server off and on; False when nothing here can."""


class Upkeep:
    def __init__(self, *, store: UpkeepStore, people: People, restarts: Restarts, now: Now | None = None) -> None:
        """`now`: by default the database's, by which sessions and servers are timed, whatever this machine's clock says."""
        self._store, self._people, self._restarts, self._now = store, people, restarts, now or store.now
        self._watching: datetime | None = None  # since when nothing was missed

    def missed(self) -> None:
        """Another controller acted, or the database was away: silence before now means nothing."""
        self._watching = None

    async def turn(self) -> None:
        """One look at everything. Raises Unavailable without the database; call again in a few seconds."""
        now = await self._now()
        self._watching = self._watching or now
        await self._open_windows(now)
        servers = await self._store.servers()
        needed = await self._store.needed()
        for rolling in await self._store.rollings():
            await self._roll(rolling, servers, needed.get(rolling.group, 0), now)
        servers = await self._store.servers()
        for server in servers:
            await self._look(server, now)
        await self._empty({server.id: server for server in servers}, now)

    # --- health ------------------------------------------------------------------------------------------

    async def _look(self, server: Kept, now: datetime) -> None:
        if server.state not in WATCHED:
            return
        assert self._watching is not None
        heard_enough = now - self._watching >= SERVER_SILENT
        found = ailment(server.facts, server.seen if heard_enough else now, now=now)
        illness = judge(server.illness, found, now=now)
        if illness != server.illness:
            await self._store.set_illness(server.id, illness)
        if illness is not None and server.state is not ServerState.UNHEALTHY:
            await self._store.turn(server.id, server.state, ServerEvent.SICK, illness.why)
            log("upkeep.sick", level="warning", server=server.id, ailment=str(illness.ailment))
        elif illness is None and server.state is ServerState.UNHEALTHY:
            await self._store.turn(server.id, server.state, ServerEvent.WELL, "")
            log("upkeep.well", server=server.id)
            if server.causes:
                await self._store.turn(server.id, ServerState.READY, ServerEvent.DRAIN, WHY[server.causes[0]])
        elif illness is None and server.state is ServerState.READY and server.causes:
            await self._store.turn(server.id, server.state, ServerEvent.DRAIN, WHY[server.causes[0]])
        elif server.state is ServerState.DRAINING and not server.causes:  # its last cause went while it changed its state
            await self._store.turn(server.id, server.state, ServerEvent.UNDRAIN, "")

    # --- windows and rolling ---------------------------------------------------------------------------------

    async def _open_windows(self, now: datetime) -> None:
        known = await self._store.windows()
        last = {window.id: moment for window, moment in known if moment is not None}
        for window in due([window for window, _ in known], last, now=now):
            await self._begin(window, now)

    async def _begin(self, window: Window, now: datetime) -> None:
        try:
            await self._store.roll(
                Rolling(
                    id=new_id(), group=window.group, percent=window.percent, deadline=window.deadline, message=window.message,
                    restart=window.restart, by_whom=f"window {window.id}", began=now,
                )
            )  # fmt: skip
        except Conflict:
            return  # the one before goes on; this opening is tried again until it closes
        await self._store.begun(window.id, now=now)
        log("upkeep.window", window=window.id, group=window.group)

    async def _roll(self, rolling: Rolling, servers: Sequence[Kept], needed: int, now: datetime) -> None:
        turns = await self._store.members(rolling.id)
        known = {server.id: server for server in servers}
        members = members_of(turns, known)
        decided = moves(members, percent=rolling.percent, restart=rolling.restart, now=now, needed=needed)
        for name in decided.done:
            await self._give_back(rolling, known[name], now)
        for name in decided.failed:
            await self._store.set_turn(rolling.id, name, Turn.FAILED, now=now)
            log("upkeep.not_back", level="error", server=name, group=rolling.group)
        for name in decided.out:
            await self._work_on(rolling, known[name], now)
        for name in decided.empty:
            deadline = now + timedelta(seconds=rolling.deadline) if rolling.deadline else None
            await self.drain(known[name], "rolling", rolling.by_whom, deadline=deadline, message=rolling.message, now=now)
            await self._store.set_turn(rolling.id, name, Turn.EMPTYING, now=now)
        if all(m.turn in (Turn.DONE, Turn.FAILED) or m.server in (*decided.done, *decided.failed) for m in members):
            await self._store.rolled(rolling.id, now=now)
            log("upkeep.rolled", group=rolling.group, servers=len(members))

    async def _work_on(self, rolling: Rolling, server: Kept, now: datetime) -> None:
        restarts = rolling.restart and await self._restarts.restart(server.id)
        why = "it is started anew" if restarts else "empty: start it anew" if rolling.restart else "empty: work on it, then undrain it"
        if await self._store.turn(server.id, server.state, ServerEvent.EMPTY, why):
            await self._store.set_turn(rolling.id, server.id, Turn.OUT, now=now)

    async def _give_back(self, rolling: Rolling, server: Kept, now: datetime) -> None:
        await self._store.undrain(server.id, "rolling")
        if server.state is ServerState.MAINTENANCE:
            await self._store.turn(server.id, server.state, ServerEvent.DONE, "")
        await self._store.set_turn(rolling.id, server.id, Turn.DONE, now=now)

    # --- emptying --------------------------------------------------------------------------------------------

    async def drain(
        self,
        server: Kept,
        cause: str,
        by_whom: str,
        *,
        deadline: datetime | None = None,
        message: str = "",
        leave: int = LEAVE_SECONDS,
        now: datetime,
    ) -> None:
        """Nothing is placed on it from now on."""
        wanted = Drain(server=server.id, cause=cause, by_whom=by_whom, asked=now, deadline=deadline, message=message, leave=leave)
        await self._store.drain(wanted)
        if server.state in (ServerState.READY, ServerState.UNHEALTHY):
            await self._store.turn(server.id, server.state, ServerEvent.DRAIN, WHY[cause])

    async def undrain(self, server: Kept, cause: str = "") -> None:
        """Ready again, when no other cause is left; with no cause named, all are taken back, and what ailed it is forgotten."""
        await self._store.undrain(server.id, cause)
        if not cause:
            await self._store.set_illness(server.id, None)
        if set(server.causes) - {cause} and cause:
            return
        if server.state in (ServerState.DRAINING, ServerState.MAINTENANCE):
            await self._store.turn(server.id, server.state, ServerEvent.UNDRAIN, "")
        elif server.state is ServerState.UNHEALTHY and not cause:
            await self._store.turn(server.id, server.state, ServerEvent.WELL, "")

    async def _empty(self, servers: Mapping[str, Kept], now: datetime) -> None:
        drains = [one for one in await self._store.drains() if one.server in servers and servers[one.server].sessions]
        if not drains:
            return
        held: dict[str, list[Any]] = {}
        for row in await self._store.held(sorted({one.server for one in drains})):
            held.setdefault(row["server"], []).append(row)
        results = await asyncio.gather(*(self._empty_one(one, held.get(one.server, []), now) for one in drains), return_exceptions=True)
        for fault in results:
            if isinstance(fault, CloisterError):  # a server that does not answer is looked at again in the next turn
                log("upkeep.not_emptied", level="warning", text=fault.text)
            elif isinstance(fault, BaseException):
                raise fault

    async def _empty_one(self, drain: Drain, rows: Sequence[Any], now: datetime) -> None:
        left = (drain.deadline - now).total_seconds() if drain.deadline is not None else None
        facts = [
            Held(row["id"], row["state"] not in UNATTENDED, (now - row["changed"]).total_seconds(), told=drain.told is not None)
            for row in rows
        ]
        # Whoever has the time from the beginning is told at the beginning; a night's stop asks only those who are still there.
        notice = 1e9 if drain.cause != "power" else 600.0
        decided = emptying(facts, leave=drain.leave, left=left, notice=notice)
        if decided.tell and drain.deadline is not None:
            await self._people.tell(drain.server, decided.tell, closes(drain.deadline, zone=ZONE, message=drain.message))
            await self._store.told(drain, now=now)
        if decided.end:
            await self._people.end(drain.server, decided.end, "maintenance" if drain.cause != "power" else "power")


def members_of(turns: Mapping[str, tuple[Turn, datetime]], known: Mapping[str, Kept]) -> list[Member]:
    """A rolling maintenance's rows, with what is known of their servers."""
    return [_member(known[name], turn, since) for name, (turn, since) in turns.items() if name in known]


def _member(server: Kept, turn: Turn, since: datetime) -> Member:
    return Member(server=server.id, turn=turn, since=since, state=server.state, sessions=server.sessions, hello=server.started)
