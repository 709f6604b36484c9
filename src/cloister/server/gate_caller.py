"""A session's way to the store gate, which after a restart knows nobody until the agent has named the sessions again.

Such a refusal came before anything was done, so the call is simply made again; a moment's wait is better than an
answer that reads as if the person had lost a right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cloister.base.errors import Conflict, Denied, Unavailable
from cloister.base.wire import Caller

EPOCH_REPLACED: Final = "epoch-replaced"
NOT_YET_NAMED: Final = "unknown-process"
PAUSES_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class GateCaller(Caller):
    """Raises Unavailable when the gate does not come to know this session in time.

    A write under a zone's older epoch is refused; the session's keys are renewed then, so that a repetition succeeds.
    """

    on_replaced: Callable[[], Awaitable[None]] | None = None

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        for pause in PAUSES_SECONDS:
            try:
                return await super().call(method, timeout_seconds=timeout_seconds, **arguments)
            except Conflict as refused:
                if refused.reason == EPOCH_REPLACED and self.on_replaced is not None:
                    await self.on_replaced()
                raise
            except Denied as refused:
                if refused.reason != NOT_YET_NAMED:
                    raise
            await asyncio.sleep(pause)
        hint = "Wait a moment and try again; nothing was lost."
        raise Unavailable("The store gate does not know this session.", hint=hint, reason="no-answer")
