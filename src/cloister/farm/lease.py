"""One acts, others wait: a lease in the database for what only one controller at a time may do. It ends by the database's clock."""

from __future__ import annotations

from typing import Any, Final

from cloister.base.database import LOST
from cloister.base.errors import Unavailable

LEASE_SECONDS: Final = 15
TAKE: Final = """
    insert into estate.lease as l (name, holder, until) values ($1, $2, now() + make_interval(secs => $3))
    on conflict (name) do update set holder = excluded.holder, until = excluded.until
     where l.holder = excluded.holder or l.until < now() returning holder"""
LEAVE: Final = "delete from estate.lease where name = $1 and holder = $2"


class Lease:
    """`holder` names this process and no other, ever: a controller that was started again is another one."""

    def __init__(self, pool: Any, name: str, holder: str, seconds: int = LEASE_SECONDS) -> None:
        self._pool, self._name, self._holder, self._seconds = pool, name, holder, seconds

    async def held(self) -> bool:
        """Take or keep it; True for this holder only, until the lease's time is over. Raises Unavailable without the database."""
        return bool(await self._ask(TAKE, self._name, self._holder, self._seconds))

    async def leave(self) -> None:
        """So that another need not wait for its end."""
        await self._ask(LEAVE, self._name, self._holder)

    async def _ask(self, sql: str, *arguments: object) -> Any:
        try:
            return await self._pool.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
