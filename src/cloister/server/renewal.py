"""Keys that come and go while a session is open: a rota's hours, a revocation, a new epoch. Spec: docs/spec/zones.md 13.

One timer for the next end and the next start, no tick. The session itself closes what has ended, whether or not anybody
tells it; for what begins or was changed it asks the gate, and verifies all of it again. Nobody else notices.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Corrupt, Denied
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.server.opening import trust_material
from cloister.zones import Keyring

JUST_AFTER: Final = timedelta(milliseconds=5)
LONGEST_SECONDS: Final = 3600.0  # a clock that was set meanwhile is noticed after this
SPREAD_SECONDS: Final = 3.0  # a shift begins for many at the same second
RETRY_SECONDS: Final = 5.0


class Renewal:
    """Keeps one session's keyring up to date while it is unlocked."""

    def __init__(
        self,
        gate: Caller,
        clock: Clock,
        held: Callable[[], Keyring | None],
        changed: Callable[[frozenset[str]], None],
        ended: Callable[[str], None],
    ) -> None:
        """`changed` is told the zones that were lost, perhaps none; `ended` why this person has no keys any more."""
        self._gate = gate
        self._clock = clock
        self._held = held
        self._changed = changed
        self._ended = ended
        self._next_start: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()

    def begin(self, rows: Mapping[str, Any]) -> None:
        """The session was unlocked with these rows."""
        self._take_start(rows)
        self._arm()

    def stop(self) -> None:
        """The keys were put away."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._next_start = None

    async def renew(self) -> None:
        """Fetch and verify anew. Raises Unavailable when the gate is away; the next try is set already."""
        async with self._one:
            if self._held() is None:
                return
            try:
                rows = await self._gate.call("trust_renewal")
            except CloisterError:
                self._next_start = self._clock() + timedelta(seconds=RETRY_SECONDS)
                self._arm()
                raise
            keyring = self._held()
            if keyring is None:  # locked meanwhile
                return
            before = {(one.zone, one.epoch, one.rights) for one in keyring.zones}
            try:
                keyring.renew(trust_material(rows), self._clock())
            except (Denied, Corrupt) as refused:  # the person's own certificate does not hold any more
                log("session.keys_ended", level="warning", reason=refused.reason)
                self._ended("revoked")
                return
            after = {(one.zone, one.epoch, one.rights) for one in keyring.zones}
            if before != after:
                self._changed(frozenset(zone for zone, _, _ in before) - {zone for zone, _, _ in after})
            self._take_start(rows)
            self._arm()

    def _take_start(self, rows: Mapping[str, Any]) -> None:
        coming = rows.get("next_start")
        self._next_start = datetime.fromisoformat(coming) if coming else None

    def _arm(self) -> None:
        keyring = self._held()
        moments = [one for one in (keyring.next_end if keyring else None, self._next_start) if one is not None]
        if not moments:
            self.stop()
            return
        self._set((min(moments) + JUST_AFTER - self._clock()).total_seconds())

    def _set(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(min(max(seconds, 0.01), LONGEST_SECONDS), self._woken)

    def _woken(self) -> None:
        keyring, now = self._held(), self._clock()
        if keyring is None:
            return
        lost = keyring.close_ended(now)
        if lost:
            log("session.zones_ended", zones=len(lost))
            self._changed(frozenset(lost))
        if self._next_start is not None and now >= self._next_start:
            self._next_start = None
            task = asyncio.get_running_loop().create_task(self._renew_soon())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._arm()

    async def _renew_soon(self) -> None:
        await asyncio.sleep(random.random() * SPREAD_SECONDS)
        try:
            await self.renew()
        except CloisterError as away:
            log("session.not_renewed", level="warning", reason=away.reason)
