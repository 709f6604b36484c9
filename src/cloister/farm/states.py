"""The life of a session, as a table. What is not drawn here cannot happen.

starting -> locked -> active <-> locked, disconnected; ending -> ended. A locked or disconnected session
holds no keys: its keyring was wiped. When each event comes is the session's clock (server/limits.py), by policy.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cloister.base.errors import Conflict


class SessionState(StrEnum):
    STARTING = "starting"  # forked, not yet ready
    LOCKED = "locked"  # ready, no keys: not unlocked yet, or locked by its person, by idleness or from another terminal
    ACTIVE = "active"  # unlocked: the keyring is open
    DISCONNECTED = "disconnected"  # no keys, and no page of it is open anywhere: waits for its person to come back
    ENDING = "ending"  # told to end
    ENDED = "ended"  # the process is dead and its slot is free


class SessionEvent(StrEnum):
    READY = "ready"
    UNLOCK = "unlock"
    LOCK = "lock"
    IDLE = "idle"  # nobody worked in it for as long as its policy allows
    LEAVE = "leave"  # its last page was closed, and none was opened since
    REJOIN = "rejoin"  # its person signed in again, here or elsewhere
    END = "end"
    EXIT = "exit"


_S = SessionState
_E = SessionEvent

NEXT: Final[dict[tuple[SessionState, SessionEvent], SessionState]] = {
    (_S.STARTING, _E.READY): _S.LOCKED,
    (_S.STARTING, _E.END): _S.ENDING,
    (_S.STARTING, _E.EXIT): _S.ENDED,
    (_S.LOCKED, _E.UNLOCK): _S.ACTIVE,
    (_S.LOCKED, _E.LOCK): _S.LOCKED,
    (_S.LOCKED, _E.IDLE): _S.DISCONNECTED,
    (_S.LOCKED, _E.LEAVE): _S.DISCONNECTED,
    (_S.LOCKED, _E.REJOIN): _S.LOCKED,
    (_S.LOCKED, _E.END): _S.ENDING,
    (_S.LOCKED, _E.EXIT): _S.ENDED,
    (_S.ACTIVE, _E.UNLOCK): _S.ACTIVE,
    (_S.ACTIVE, _E.LOCK): _S.LOCKED,
    (_S.ACTIVE, _E.IDLE): _S.LOCKED,
    (_S.ACTIVE, _E.LEAVE): _S.DISCONNECTED,
    (_S.ACTIVE, _E.REJOIN): _S.LOCKED,
    (_S.ACTIVE, _E.END): _S.ENDING,
    (_S.ACTIVE, _E.EXIT): _S.ENDED,
    (_S.DISCONNECTED, _E.UNLOCK): _S.ACTIVE,
    (_S.DISCONNECTED, _E.LOCK): _S.DISCONNECTED,
    (_S.DISCONNECTED, _E.IDLE): _S.DISCONNECTED,
    (_S.DISCONNECTED, _E.LEAVE): _S.DISCONNECTED,
    (_S.DISCONNECTED, _E.REJOIN): _S.LOCKED,
    (_S.DISCONNECTED, _E.END): _S.ENDING,
    (_S.DISCONNECTED, _E.EXIT): _S.ENDED,
    (_S.ENDING, _E.END): _S.ENDING,
    (_S.ENDING, _E.EXIT): _S.ENDED,
}

LIVE: Final = frozenset({_S.STARTING, _S.LOCKED, _S.ACTIVE, _S.DISCONNECTED})


def step(state: SessionState, event: SessionEvent) -> SessionState:
    """The state after the event; raises Conflict when the table does not draw it."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise Conflict(f"A session that is {state} cannot {event}.", reason="session-state") from None


def _reachable() -> frozenset[tuple[SessionState, SessionState]]:
    pairs = {(state, state) for state in SessionState} | {(state, after) for (state, _), after in NEXT.items()}
    while True:
        more = {(a, d) for a, b in pairs for c, d in pairs if b is c} - pairs
        if not more:
            return frozenset(pairs)
        pairs |= more


REACHABLE: Final = _reachable()


def reported(known: SessionState, said: SessionState) -> SessionState:
    """The state an agent reports, if the table leads there; words in between may have been lost on the way."""
    if (known, said) not in REACHABLE:
        raise Conflict(f"A session that is {known} cannot become {said}.", reason="session-state")
    return said
