"""The power of a machine, as a table. What is not drawn here cannot happen.

Whether sessions may be placed on it is another matter: see the states of a server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cloister.base.errors import Conflict


class PowerState(StrEnum):
    OFF = "off"
    BOOTING = "booting"  # told to start, its agent has not said hello
    ON = "on"  # its agent reports
    STOPPING = "stopping"  # told to stop, not yet known to be off
    FAILED = "failed"  # did not come up, or fell silent: switched off, then tried again


class PowerEvent(StrEnum):
    BOOT = "boot"
    HELLO = "hello"
    STOP = "stop"
    GONE = "gone"  # the driver says that it is off
    LATE = "late"  # no hello within the time that a start may take
    LOST = "lost"  # fell silent while it ran


_S, _E = PowerState, PowerEvent

NEXT: Final[dict[tuple[PowerState, PowerEvent], PowerState]] = {
    (_S.OFF, _E.BOOT): _S.BOOTING,
    (_S.OFF, _E.HELLO): _S.ON,  # somebody pressed its button
    (_S.BOOTING, _E.HELLO): _S.ON,
    (_S.BOOTING, _E.LATE): _S.FAILED,
    (_S.BOOTING, _E.STOP): _S.STOPPING,
    (_S.ON, _E.STOP): _S.STOPPING,
    (_S.ON, _E.LOST): _S.FAILED,
    (_S.ON, _E.HELLO): _S.ON,
    (_S.STOPPING, _E.GONE): _S.OFF,
    (_S.STOPPING, _E.LATE): _S.FAILED,
    (_S.FAILED, _E.STOP): _S.STOPPING,
    (_S.FAILED, _E.HELLO): _S.ON,
    (_S.FAILED, _E.GONE): _S.OFF,
}


def step(state: PowerState, event: PowerEvent) -> PowerState:
    """The state after the event; raises Conflict when the table does not draw it."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise Conflict(f"A machine that is {state} cannot take '{event}'.", reason="power-state") from None
