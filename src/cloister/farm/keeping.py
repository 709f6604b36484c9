"""What one controller at a time does for the whole farm, again and again: upkeep every few seconds, power a little less often."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final, Protocol

from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.farm.lease import LEASE_SECONDS, Lease

UPKEEP_SECONDS: Final = 2.0
POWER_SECONDS: Final = 10.0
RENEW_SECONDS: Final = 4.0
TURN_SECONDS_MAX: Final = 60.0


class Turns(Protocol):
    async def turn(self) -> None: ...

    def missed(self) -> None: ...


class Keeping:
    """While the lease is held, `upkeep` and `power` take their turns. Another controller takes over when this one falls silent."""

    def __init__(
        self, lease: Lease, *, upkeep: Turns, power: Turns, upkeep_seconds: float = UPKEEP_SECONDS, power_seconds: float = POWER_SECONDS
    ) -> None:
        self._lease, self._work = lease, ((upkeep, upkeep_seconds), (power, power_seconds))
        self._until = 0.0

    @property
    def acts(self) -> bool:
        """Whether the lease holds for long enough to begin something."""
        return time.monotonic() < self._until

    async def run(self, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(self._renew())] + [asyncio.create_task(self._again(work, every)) for work, every in self._work]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(CloisterError):
                await self._lease.leave()

    async def _renew(self) -> None:
        while True:
            asked = time.monotonic()
            try:
                if await self._lease.held():
                    if not self.acts:
                        log("keeping.acts")
                    # Counted from before the question, and a little less than the database gives.
                    self._until = asked + LEASE_SECONDS - RENEW_SECONDS / 2
            except CloisterError:
                pass  # what is held ends by itself
            await asyncio.sleep(RENEW_SECONDS)

    async def _again(self, work: Turns, every: float) -> None:
        while True:
            if not self.acts:
                work.missed()
            else:
                try:
                    async with asyncio.timeout(TURN_SECONDS_MAX):
                        await work.turn()
                except (CloisterError, TimeoutError) as fault:
                    work.missed()
                    log("keeping.missed", level="warning", kind=type(fault).__name__, text=getattr(fault, "text", ""))
                except Exception as fault:  # the edge: one bad row must not end the upkeep of all others
                    log("keeping.failed", level="error", kind=type(fault).__name__)
            await asyncio.sleep(every if self.acts else min(every, 1.0))
