"""Which machines of a group to start, empty and stop now: a pure decision over what is known of them.

    wanted = least of the span, or (sessions on ready servers + begun - ended until a start is over) with the buffer, plus spares
    too few: take servers back that are being emptied, then start machines that are off
    too many, for long, and not wanted again soon: empty those with the fewest people; stop what is empty

A server whose placement somebody else stopped (maintenance, health) is no capacity, and is never given back here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.farm.power.forecast import Forecast
from cloister.farm.power.policy import PowerPolicy
from cloister.farm.power.states import PowerState

LOOK: Final = timedelta(minutes=5)
TURN: Final = 120  # seconds: until the planner looks again, and a little
SLOW: Final = 1.5  # times the usual start
EMPTYING_SECONDS: Final = 1200.0  # about how long people stay on a server that is being emptied


class Placing(StrEnum):
    """Whether sessions may be placed on a server, and who says no."""

    OPEN = "open"
    EMPTYING = "emptying"  # the planner's own doing
    CLOSED = "closed"  # an operator, a maintenance, its health


class Action(StrEnum):
    START = "start"
    EMPTY = "empty"  # place nothing on it any more
    TAKE_BACK = "take-back"  # place on it again
    STOP = "stop"
    RESTART = "restart"  # stop and start: maintenance while it is empty
    CYCLE = "cycle"  # switch off what failed; it is tried again later


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the planner knows of one machine."""

    id: str
    power: PowerState
    placing: Placing
    since: datetime  # of `power`
    sessions: int  # placed or being placed, disconnected ones too
    attended: int  # of those, with a person before them
    capacity: int  # sessions at most
    update: bool = False  # must start anew to be up to date
    failures: int = 0  # in a row
    held: bool = False  # an operator switched it by hand: leave it alone


@dataclass(frozen=True, slots=True)
class Step:
    machine: str
    action: Action
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and the reckoning behind it. `too_many_since` is handed in again the next time."""

    steps: tuple[Step, ...]
    wanted: int  # servers that should be ready when a start of now is over
    needed: int  # of them, for sessions: a maintenance may take what is ready beyond these
    wanted_later: int  # the most that are wanted within the policy's hold
    ready: int
    coming: int  # started, not yet ready
    expected: float  # sessions on ready servers, when a start of now is over
    too_many_since: datetime | None
    short: int  # wanted and nowhere to be had


@dataclass(frozen=True, slots=True)
class _Sorted:
    ready: list[Machine]
    coming: list[Machine]
    emptying: list[Machine]
    off: list[Machine]

    @property
    def running(self) -> int:
        return len(self.ready) + len(self.coming)


def plan(
    machines: Sequence[Machine],
    policy: PowerPolicy,
    forecast: Forecast,
    *,
    now: datetime,
    too_many_since: datetime | None = None,
    waiting: int = 0,
    extra: int = 0,
) -> Plan:
    """`waiting`: people of this group who wait for a server now. `extra`: servers that a maintenance would take out."""
    sorted_ = _sort(machines, policy, now)
    wanted, expected = _wanted(sorted_, policy, forecast, now=now, seconds=policy.boot + TURN, waiting=waiting)
    later, _ = _wanted(sorted_, policy, forecast, now=now, seconds=policy.hold, waiting=waiting)
    wanted, later = wanted + extra, max(later, wanted) + extra
    steps = _mend(machines, policy, now) + _stop_empty(sorted_, later)
    spared = {step.machine for step in steps}
    missing = wanted - sorted_.running
    if missing > 0:
        back, started = _get(sorted_, policy, missing, spared)
        short = max(0, missing - len(back) - len(started))
        return _plan(sorted_, steps + back + started, (wanted, extra), later, expected, None, short)
    if sorted_.running <= later:
        return _plan(sorted_, steps, (wanted, extra), later, expected, None, 0)
    since = too_many_since or now
    if now - since >= timedelta(seconds=policy.cool_down):
        steps += _empty(sorted_, policy, sorted_.running - later, now)
    return _plan(sorted_, steps, (wanted, extra), later, expected, since, 0)


def _plan(s: _Sorted, steps: list[Step], wanted: tuple[int, int], later: int, expected: float, since: datetime | None, short: int) -> Plan:
    servers, extra = wanted
    return Plan(
        steps=tuple(steps), wanted=servers, needed=servers - extra, wanted_later=later, ready=len(s.ready), coming=len(s.coming),
        expected=expected, too_many_since=since, short=short,
    )  # fmt: skip


def _sort(machines: Sequence[Machine], policy: PowerPolicy, now: datetime) -> _Sorted:
    ready, coming, emptying, off = [], [], [], []
    for m in machines:
        if m.power is PowerState.ON and m.placing is Placing.OPEN:
            ready.append(m)
        elif m.power is PowerState.ON and m.placing is Placing.EMPTYING:
            emptying.append(m)
        elif m.power is PowerState.BOOTING and not _late(m, policy, now):
            coming.append(m)
        elif m.power is PowerState.OFF and m.placing is not Placing.CLOSED and not m.held and m.failures < policy.failures_max:
            off.append(m)
    return _Sorted(ready, coming, emptying, off)


def _wanted(s: _Sorted, policy: PowerPolicy, forecast: Forecast, *, now: datetime, seconds: float, waiting: int) -> tuple[int, float]:
    """(servers, sessions): the most that are wanted at any moment from now until then."""
    here = sum(m.sessions for m in s.ready)
    leaving = sum(m.sessions for m in s.emptying)
    held = here + leaving
    height = forecast.height(now, held)
    share = here / held if held else 1.0
    most, until = float(here), now + timedelta(seconds=seconds)
    moment = now
    while moment < until:
        moment = min(until, moment + LOOK)
        ahead = forecast.ahead(now, moment, height)
        # Whoever leaves a server that is being emptied comes back on another.
        moved = leaving * min(1.0, (moment - now).total_seconds() / EMPTYING_SECONDS) * 0.5
        most = max(most, here + moved + ahead.begun - ahead.ended * share)
    _, buffer = policy.at(now)
    capacity = _capacity(s)
    wanted = math.ceil((most + waiting) * (1 + buffer) / capacity) + policy.spare
    return max(wanted, policy.least_between(now, until)), most


def _capacity(s: _Sorted) -> float:
    known = [m.capacity for group in (s.ready, s.coming, s.emptying, s.off) for m in group if m.capacity > 0]
    return sum(known) / len(known) if known else 1.0


def _late(m: Machine, policy: PowerPolicy, now: datetime) -> bool:
    """Later than starts usually take: it is not counted on any more, long before it counts as failed."""
    return now - m.since > timedelta(seconds=min(policy.boot_max, SLOW * policy.boot))


def _mend(machines: Sequence[Machine], policy: PowerPolicy, now: datetime) -> list[Step]:
    """What failed is switched off, so that it can be started anew; its place is taken by another as any missing one's is."""
    steps = []
    for m in machines:
        patience = timedelta(seconds=policy.retry if m.failures else 0)
        if m.power is PowerState.FAILED and not m.held and m.failures <= policy.failures_max and now - m.since >= patience:
            steps.append(Step(m.id, Action.CYCLE, "it failed; it is switched off and may be tried again"))
    return steps


def _stop_empty(s: _Sorted, later: int) -> list[Step]:
    steps = []
    for m in s.emptying:
        if m.sessions == 0 and not m.held:
            if m.update and s.running < later:
                steps.append(Step(m.id, Action.RESTART, "it is empty and out of date"))
            else:
                steps.append(Step(m.id, Action.STOP, "it is empty and not wanted"))
    return steps


def _get(s: _Sorted, policy: PowerPolicy, missing: int, spared: set[str]) -> tuple[list[Step], list[Step]]:
    """Back first, because that is at once: the fullest, which would have taken longest to empty."""
    candidates = sorted((m for m in s.emptying if not m.held and m.id not in spared and not m.update), key=lambda m: (-m.sessions, m.id))
    back = [Step(m.id, Action.TAKE_BACK, "servers are wanted again") for m in candidates[:missing]]
    rest = min(missing - len(back), policy.starts_at_once)
    # Those that never failed and have been off longest, so that all wear alike and none is never tried.
    off = sorted(s.off, key=lambda m: (m.failures, m.since, m.id))
    return back, [Step(m.id, Action.START, "more sessions are expected than ready servers hold") for m in off[:rest]]


def _empty(s: _Sorted, policy: PowerPolicy, surplus: int, now: datetime) -> list[Step]:
    ripe = [m for m in s.ready if not m.held and now - m.since >= timedelta(seconds=policy.on_min)]
    victims = sorted(ripe, key=lambda m: (not m.update, m.attended, m.sessions, m.id))[:surplus]
    return [Step(m.id, Action.EMPTY, "more servers are ready than are wanted soon") for m in victims]
