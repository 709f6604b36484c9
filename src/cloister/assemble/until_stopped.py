"""What `cloister up` and `cloister server run` share: work until a signal asks for the end, and an exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from cloister.base.errors import EXIT_CODE, CloisterError


async def until_stopped(work: Coroutine[Any, Any, None], end: Callable[[], Awaitable[None]]) -> int:
    """The exit code. `end` is awaited in any case; a refusal of `work` is said, and anything else it raises goes on."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    working, asked = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, asked], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        outcome = (await asyncio.gather(working, return_exceptions=True))[0]
    finally:
        asked.cancel()
        await end()
    if isinstance(outcome, CloisterError):
        return refused_to_start(outcome)
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
    return 0


def refused_to_start(refused: CloisterError) -> int:
    print(f"error: {refused.text}" + (f"\nhint: {refused.hint}" if refused.hint else ""), file=sys.stderr)
    return EXIT_CODE[refused.category]
