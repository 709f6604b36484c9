"""The life of a server, as a table. What is not drawn here cannot happen.

off -> starting -> ready <-> draining -> maintenance -> ready; whatever reports can fall ill, and is given nobody until it is well.
Sessions are placed on a READY server only; who has one on a DRAINING server may come back to it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cloister.base.errors import Conflict
from cloister.farm.placement import ServerState


class ServerEvent(StrEnum):
    START = "start"  # its machine was switched on
    HELLO = "hello"  # its agent reports for the first time
    DRAIN = "drain"  # an operator, a window or the power planner wants it empty
    UNDRAIN = "undrain"
    EMPTY = "empty"  # its last session has ended, and somebody works on it
    DONE = "done"  # the work is over
    SICK = "sick"
    WELL = "well"
    STOP = "stop"  # its machine was switched off


_S, _E = ServerState, ServerEvent

NEXT: Final[dict[tuple[ServerState, ServerEvent], ServerState]] = {
    (_S.OFF, _E.START): _S.STARTING,
    (_S.OFF, _E.HELLO): _S.READY,
    (_S.OFF, _E.STOP): _S.OFF,
    (_S.STARTING, _E.HELLO): _S.READY,
    (_S.STARTING, _E.SICK): _S.UNHEALTHY,
    (_S.STARTING, _E.STOP): _S.OFF,
    (_S.READY, _E.HELLO): _S.READY,
    (_S.READY, _E.DRAIN): _S.DRAINING,
    (_S.READY, _E.SICK): _S.UNHEALTHY,
    (_S.READY, _E.STOP): _S.OFF,
    (_S.DRAINING, _E.HELLO): _S.DRAINING,
    (_S.DRAINING, _E.DRAIN): _S.DRAINING,
    (_S.DRAINING, _E.UNDRAIN): _S.READY,
    (_S.DRAINING, _E.EMPTY): _S.MAINTENANCE,
    (_S.DRAINING, _E.SICK): _S.UNHEALTHY,
    (_S.DRAINING, _E.STOP): _S.OFF,
    (_S.MAINTENANCE, _E.HELLO): _S.MAINTENANCE,
    (_S.MAINTENANCE, _E.UNDRAIN): _S.READY,
    (_S.MAINTENANCE, _E.DONE): _S.READY,
    (_S.MAINTENANCE, _E.SICK): _S.UNHEALTHY,
    (_S.MAINTENANCE, _E.STOP): _S.OFF,
    (_S.UNHEALTHY, _E.HELLO): _S.UNHEALTHY,
    (_S.UNHEALTHY, _E.DRAIN): _S.DRAINING,
    (_S.UNHEALTHY, _E.WELL): _S.READY,
    (_S.UNHEALTHY, _E.STOP): _S.OFF,
}


def step(state: ServerState, event: ServerEvent) -> ServerState:
    """The state after the event; raises Conflict when the table does not draw it."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise Conflict(
            f"A server that is {state} cannot take '{event}'.", hint="See `cloister server list`.", reason="server-state"
        ) from None
