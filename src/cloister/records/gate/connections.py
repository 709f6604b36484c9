"""The gate's few connections to PostgreSQL: made when first needed, kept, replaced when lost.

asyncpg's own pool wraps every use in tasks and resets the connection afterwards; statements of this gate leave
nothing behind, and the gate answers a third more calls a second without that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

COMMAND_SECONDS_MAX: Final = 60
# Every statement fetches few rows by an index. Planned once, without joins over whole tables: a young table's statistics
# say that it is empty, and a plan made then would be kept while it grows.
PLANNING: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
}


def _same(value: bytes) -> bytes:
    return value


class Connections:
    """Runs one statement at a time on each of at most `largest` connections; further callers wait their turn."""

    def __init__(self, arguments: Mapping[str, Any], *, largest: int) -> None:
        self._arguments = dict(arguments)
        self._arguments["server_settings"] = {**arguments.get("server_settings", {}), **PLANNING}
        self._free = asyncio.Semaphore(largest)
        self._idle: list[asyncpg.Connection[Any]] = []

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        async with self._free:
            connection = await self._take()
            try:
                rows: list[Any] = await connection.fetch(sql, *values)
            except BaseException as failed:  # noqa: B036 - an edge: whatever happened, the connection is given back or ended
                self._give_back(connection, failed)
                raise
            self._idle.append(connection)
            return rows

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any) -> Any:
        row = await self.fetchrow(sql, *values)
        return row[0] if row is not None else None

    async def execute(self, sql: str, *values: Any) -> None:
        await self.fetch(sql, *values)

    async def together(self, steps: Sequence[tuple[str, tuple[Any, ...]]]) -> list[list[Any]]:
        """Several statements in one transaction. One that returns no row ends it: asyncpg.NoDataFoundError, and nothing was done."""
        async with self._free:
            connection = await self._take()
            try:
                async with connection.transaction():
                    answers = []
                    for sql, values in steps:
                        answers.append(await connection.fetch(sql, *values))
                        if not answers[-1]:
                            raise asyncpg.NoDataFoundError("a statement found nothing to do")
            except BaseException as failed:  # noqa: B036 - the same edge
                self._give_back(connection, failed)
                raise
            self._idle.append(connection)
            return answers

    async def _take(self) -> asyncpg.Connection[Any]:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        connection = await asyncpg.connect(command_timeout=COMMAND_SECONDS_MAX, **self._arguments)
        # Ids are 16 bytes here and on the wire: making a UUID object of each costs more than sending it.
        await connection.set_type_codec("uuid", schema="pg_catalog", format="binary", encoder=_same, decoder=bytes)
        return connection

    def _give_back(self, connection: asyncpg.Connection[Any], failed: BaseException) -> None:
        if isinstance(failed, asyncpg.PostgresError) and not connection.is_closed():
            self._idle.append(connection)
        else:  # cancelled, timed out or lost in the middle of a statement: not to be used again
            connection.terminate()

    def close(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()
