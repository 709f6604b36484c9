"""How sessions end: asked first, so that what is typed is kept, and killed when they are late. Who ends them, agent.py says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

from cloister.base.errors import CloisterError
from cloister.server.live import Live
from cloister.server.shut_out import TOLD

END_SECONDS_MAX: Final = 3.0
REVOKED_ANSWER_SECONDS: Final = 2.0
REVOKED_SECONDS_MAX: Final = 15.0  # longer than a revoked session answers why
GRACEFUL_SECONDS: Final = 4.0  # from the word to end gracefully until the process is killed


async def end(live: Live, why: str) -> None:
    """Ask, then insist: at once with somebody shut out whose session does not answer, because its keys go with its answer."""
    live.why = live.why or why
    wait, patience = (REVOKED_SECONDS_MAX, REVOKED_ANSWER_SECONDS) if why in TOLD else (END_SECONDS_MAX, END_SECONDS_MAX)
    try:
        await live.control.call("end", timeout_seconds=patience, reason=why)
    except CloisterError:
        wait = 0.5 if why in TOLD else wait
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(live.gone.wait(), wait)
    if not live.gone.is_set():
        await live.kill(why)


async def end_many(wanted: Sequence[Live], why: str) -> dict[str, Any]:
    """End these sessions: each first lets its pages send what is typed, and is killed when it is late."""
    began = time.monotonic()
    await asyncio.gather(*(_end_gracefully(live, why) for live in wanted))
    killed = [live.record.session for live in wanted if live.killed]
    return {"ended": len(wanted), "killed": len(killed), "seconds": round(time.monotonic() - began, 2)}


async def _end_gracefully(live: Live, why: str) -> None:
    live.why = live.why or why
    with contextlib.suppress(TimeoutError, CloisterError):
        async with asyncio.timeout(GRACEFUL_SECONDS):
            await live.control.call("end", timeout_seconds=GRACEFUL_SECONDS, reason=why, gracefully=True)
            await live.gone.wait()
    await live.kill(why)
