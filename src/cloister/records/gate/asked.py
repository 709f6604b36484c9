"""Whether anybody in the trust has asked to be told of anything: where nobody has, writes need not look whom to tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cloister.records.gate.connections import Connections

KEPT_SECONDS: Final = 2.0  # what a session of another gate asks for is seen after this time
SUBSCRIPTION: Final = 129  # its type's number (migrations/028_subscriptions.sql)
ANY: Final = "select exists (select from care.subscription) or exists (select from care.notice)"


class Asked:
    def __init__(self, database: Connections, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._nobody = float("-inf")  # when it was last known that nobody had
        self._times = 0  # that somebody did

    def nobody_lately(self) -> bool:
        """Without asking PostgreSQL: False where it is not known."""
        return self._now() - self._nobody <= KEPT_SECONDS

    async def nobody(self) -> bool:
        if self.nobody_lately():
            return True
        now, times = self._now(), self._times
        if await self._database.fetchval(ANY) or times != self._times:
            return False
        self._nobody = now
        return True

    def somebody(self) -> None:
        """A Subscription was written through this gate."""
        self._nobody = float("-inf")
        self._times += 1
