"""What sessions are told from outside: messages of operators, and that somebody asks to see a screen. Who does not answer was not told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

from cloister.base.errors import CloisterError
from cloister.server.live import Live

TOLD_SECONDS_MAX: Final = 2.0


async def message(wanted: Sequence[Live], message: dict[str, Any]) -> dict[str, int]:
    """Hand a message to these sessions; how many pages show it now, by session."""
    shown = await asyncio.gather(*(_tell(live, message) for live in wanted))
    return {live.record.session: pages for live, pages in zip(wanted, shown, strict=True) if pages is not None}


async def nudge(wanted: Sequence[Live]) -> int:
    """Their open pages look whether somebody asks to see their screen; how many pages that are."""
    return sum(await asyncio.gather(*(_nudge(live) for live in wanted)))


async def _nudge(live: Live) -> int:
    with contextlib.suppress(CloisterError):
        return int((await live.control.call("nudge", timeout_seconds=TOLD_SECONDS_MAX))["pages"])
    return 0


async def _tell(live: Live, message: dict[str, Any]) -> int | None:
    try:
        return int((await live.control.call("message", timeout_seconds=TOLD_SECONDS_MAX, **message))["pages"])
    except CloisterError:  # it is ending, or hangs: the sender learns that it was not told
        return None
