"""What every driver does, and the bounds that all keep."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol

OFF_SECONDS: Final = 60.0  # that a machine has to stop by itself, before it is switched off hard


class Seen(StrEnum):
    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"  # this driver cannot see it: what the agent reports must do


class Driver(Protocol):
    """One machine's. Each raises Unavailable when what switches the machine does not answer; none ever logs a credential."""

    async def on(self) -> None:
        """Begin to start the machine; no wrong if it runs."""

    async def off(self) -> None:
        """Ask it to stop, and switch it off when it does not; no wrong if it is off. Returns when that has begun or is done."""

    async def seen(self) -> Seen: ...
