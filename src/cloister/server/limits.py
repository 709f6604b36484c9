"""When a session locks, is left, warns and ends: pure, from its clock's moments and its policy's limits.

Four limits, all in seconds. idle: nobody worked in it, so its keys are wiped. away: its last page was closed. linger: locked or left
for so long, it ends. absolute: from its start to its end, whatever is done in it. The page warns before idle by its own clock, and
before the absolute limit because the session tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.farm import SessionState
from cloister.server.assignment import Assignment

NEVER: Final = float("inf")
WARNING_SECONDS: Final = 300  # before the absolute limit
LIMITS: Final = ("idle_lock_seconds", "away_seconds", "linger_seconds", "absolute_seconds", "unlock_seconds", "shadow")


class Due(StrEnum):
    """What comes next. The values of endings are the reasons that the broker is told."""

    IDLE = "idle"
    LEAVE = "left"
    WARN = "warn"
    LINGER = "linger"
    NOT_UNLOCKED = "not-unlocked"
    ABSOLUTE = "absolute"


ENDINGS: Final = (Due.LINGER, Due.NOT_UNLOCKED, Due.ABSOLUTE)


@dataclass(slots=True, kw_only=True)
class Moments:
    """When things happened, by the event loop's clock."""

    began: float = 0.0
    seen: float = 0.0  # the last work in it
    locked: float = 0.0  # when it last became locked or disconnected
    left: float = NEVER  # when its last page was closed; NEVER while one is open, or none ever was
    warned: bool = False
    was_unlocked: bool = False


def due(state: SessionState, at: Moments, limits: Assignment) -> tuple[float, Due]:
    """The next thing to happen and its moment, if nothing else happens before."""
    return min(_coming(state, at, limits), key=lambda one: one[0])


def _coming(state: SessionState, at: Moments, limits: Assignment) -> list[tuple[float, Due]]:
    end = at.began + limits.absolute_seconds if limits.absolute_seconds else NEVER
    coming = [(end, Due.ABSOLUTE)]
    if not at.warned and state is SessionState.ACTIVE:
        coming.append((end - min(WARNING_SECONDS, limits.absolute_seconds / 2), Due.WARN))
    if state in (SessionState.ACTIVE, SessionState.LOCKED):
        coming.append(((at.seen if state is SessionState.ACTIVE else at.locked) + limits.idle_lock_seconds, Due.IDLE))
        if limits.away_seconds and at.was_unlocked:
            coming.append((max(at.left, at.seen) + limits.away_seconds if at.left < NEVER else NEVER, Due.LEAVE))
    if state is not SessionState.ACTIVE:
        waits = (limits.linger_seconds, Due.LINGER) if at.was_unlocked else (limits.unlock_seconds, Due.NOT_UNLOCKED)
        coming.append((at.locked + waits[0], waits[1]))
    return coming


def overdue(state: SessionState, *, age_seconds: float, state_seconds: float, limits: dict[str, Any], grace_seconds: float) -> str:
    """For the agent, which does not rely on what a session says of itself: why it should have ended by now, or nothing."""
    absolute, linger = int(limits.get("absolute_seconds", 0)), int(limits.get("linger_seconds", 0))
    if absolute and age_seconds > absolute + grace_seconds:
        return str(Due.ABSOLUTE)
    waiting = state in (SessionState.LOCKED, SessionState.DISCONNECTED)
    longest = max(linger, int(limits.get("unlock_seconds", 0)))
    if waiting and linger and state_seconds > longest + grace_seconds:
        return str(Due.LINGER)
    return ""
