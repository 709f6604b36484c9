"""By which gateways each session was entered: noted when somebody signs in or a token of it is fetched, and ended by gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cloister.base.errors import Unavailable

# A session that was started while the database was away has no row yet: says so, and is noted later.
NOTE: Final = """
    with noted as (insert into estate.came_by (session, gateway) select id, $2 from estate.session where id = $1 on conflict do nothing)
    select exists (select from estate.session where id = $1) as known"""
UNTOLD_MAX: Final = 20_000  # notes kept for a database that is away; the oldest go first

ANSWER_SECONDS_MAX: Final = 2.0  # nobody waits longer at the door for this

Fetch = Callable[..., Awaitable[Any]]


class CameBy:
    """What one broker has to write down. `fetchrow` raises Unavailable while the database is away."""

    def __init__(self, fetchrow: Fetch) -> None:
        self._fetchrow = fetchrow
        self._untold: dict[tuple[str, str], None] = {}

    async def note(self, session: str, gateway: str) -> None:
        """Durable when this returns, or kept until the database is back: nobody is refused for it."""
        if gateway and not await self._noted(session, gateway):
            self._untold[session, gateway] = None
            while len(self._untold) > UNTOLD_MAX:
                del self._untold[next(iter(self._untold))]

    async def tell(self) -> None:
        """What could not be written before, once more; a session that never came into the database is let go."""
        untold, self._untold = self._untold, {}
        for number, (session, gateway) in enumerate(untold):
            if await self._noted(session, gateway) is None:
                self._untold = dict.fromkeys(list(untold)[number:]) | self._untold
                return

    async def _noted(self, session: str, gateway: str) -> bool | None:
        """Whether the session is known and the gateway noted; None while the database is away."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return bool((await self._fetchrow(NOTE, session, gateway))["known"])
        except (Unavailable, TimeoutError):
            return None
