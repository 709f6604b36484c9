"""A group's servers in turn: never more than a share of them out at once, the next when one is back and well. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.farm.placement import ServerState

BACK_MAX: Final = timedelta(minutes=30)  # later than this, a server has not come back


class Turn(StrEnum):
    """Where a server stands in a rolling maintenance."""

    WAITING = "waiting"
    EMPTYING = "emptying"
    OUT = "out"  # empty: it is started anew, or a person works on it
    DONE = "done"
    FAILED = "failed"  # did not come back: stays out, and keeps its place in the share


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A server of the group in its turn. `since`: of the turn; `hello`: when its agent last began to report."""

    server: str
    turn: Turn
    since: datetime
    state: ServerState
    sessions: int
    hello: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moves:
    """What changes now: servers to empty, servers that are empty, servers that are back, servers that are lost."""

    empty: tuple[str, ...] = ()
    out: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def room(size: int, percent: int) -> int:
    """How many of so many servers may be out at once: the share, rounded down, and one at least, or nothing would ever begin."""
    return max(1, size * percent // 100)


def serving(members: Sequence[Member]) -> int:
    """Servers that are switched on: at night, when most are off, a share of all would be all that are left."""
    return sum(m.state is not ServerState.OFF for m in members)


AWAY: Final = frozenset({ServerState.DRAINING, ServerState.MAINTENANCE, ServerState.UNHEALTHY, ServerState.STARTING})


def moves(members: Sequence[Member], *, percent: int, restart: bool, now: datetime, needed: int = 0) -> Moves:
    """All servers of the group are members, so that whoever is out for another reason counts too.

    `needed`: servers that must stay ready for the sessions there are, where a planner of power says so: it starts others first.

    A server that is off needs nothing: it starts anew whenever it is wanted.
    """
    done = tuple(m.server for m in members if _is_done(m, restart))
    failed = tuple(m.server for m in members if m.turn is Turn.OUT and restart and m.server not in done and now - m.since > BACK_MAX)
    out = tuple(m.server for m in members if m.turn is Turn.EMPTYING and m.sessions == 0 and m.state is ServerState.DRAINING)
    away = sum(1 for m in members if m.state in AWAY or m.turn in (Turn.EMPTYING, Turn.OUT, Turn.FAILED))
    ready = sum(m.state is ServerState.READY for m in members)
    free = min(room(serving(members), percent) - away, ready - needed)
    # The emptiest first: the fewest people are asked to move, and the first are back soonest.
    waiting = sorted((m for m in members if m.turn is Turn.WAITING and m.state is ServerState.READY), key=lambda m: (m.sessions, m.server))
    return Moves(empty=tuple(m.server for m in waiting[: max(0, free)]), out=out, done=done, failed=failed)


def takes(members: Sequence[Member], percent: int) -> int:
    """How many servers the maintenance would have out now, for the planner of power to start others for."""
    unfinished = sum(m.turn in (Turn.WAITING, Turn.EMPTYING, Turn.OUT) and m.state is not ServerState.OFF for m in members)
    return min(room(serving(members), percent), unfinished)


def _is_done(m: Member, restart: bool) -> bool:
    if m.turn in (Turn.WAITING, Turn.EMPTYING):
        return m.state is ServerState.OFF
    if m.turn is not Turn.OUT:
        return False
    # It has said hello since it was empty: this is the new start. Without a restart, the operator's `undrain` is the sign.
    back = m.hello is not None and m.hello > m.since if restart else m.state is ServerState.READY
    return back and m.state is not ServerState.UNHEALTHY
