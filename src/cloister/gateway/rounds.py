"""What a controller looks at again every few seconds for as long as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cloister.base.telemetry import log


async def every(seconds: float, once: Callable[[], Awaitable[None]], *, event: str) -> None:
    """For ever: one round, and `seconds` of rest. A round that fails is logged as `event` with the kind of its fault alone."""
    while True:
        try:
            await once()
        except Exception as fault:  # the edge of this task: the next round tries again
            log(event, level="warning", kind=type(fault).__name__)
        await asyncio.sleep(seconds)
