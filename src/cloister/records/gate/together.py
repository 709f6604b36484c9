"""What several sessions ask at one moment, asked of PostgreSQL at once: a statement for thirty costs little more than for one.

Only calls with the very same zones are put together, so that the statement restricts all of them by what each may open.
Whatever is asked for while a statement runs goes into the next one (as the audit log's group commit). A statement that takes long
holds up nobody: after a moment another begins beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from cloister.records.gate.connections import Connections

ASKED_MAX: Final = 64  # in one statement
AT_ONCE_MAX: Final = 4  # statements under way for one set of zones
LONG_SECONDS: Final = 0.003

Zones = tuple[str, ...]
Asked = TypeVar("Asked")
Fetch = Callable[[Connections, Zones, Sequence[Asked]], Awaitable[Sequence[Any]]]


class Together(Generic[Asked]):
    """`fetch` answers a list of questions in their order."""

    def __init__(self, database: Connections, fetch: Fetch[Asked]) -> None:
        self._database = database
        self._fetch = fetch
        self._waiting: dict[Zones, list[tuple[Asked, asyncio.Future[Any]]]] = {}
        self._running: dict[Zones, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, zones: Zones, asked: Asked) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(zones, []).append((asked, future))
        if zones not in self._running:
            self._begin(zones)
        return await future

    def _begin(self, zones: Zones) -> None:
        if zones not in self._waiting or self._running.get(zones, 0) >= AT_ONCE_MAX:
            return
        self._running[zones] = self._running.get(zones, 0) + 1
        task = asyncio.get_running_loop().create_task(self._run(zones))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, zones: Zones) -> None:
        try:
            while waiting := self._waiting.pop(zones, None):
                if len(waiting) > ASKED_MAX:
                    self._waiting[zones] = waiting[ASKED_MAX:]
                long = asyncio.get_running_loop().call_later(LONG_SECONDS, self._begin, zones)
                await self._answer(zones, waiting[:ASKED_MAX])
                long.cancel()
        finally:
            self._running[zones] -= 1
            if not self._running[zones]:
                del self._running[zones]

    async def _answer(self, zones: Zones, waiting: list[tuple[Asked, asyncio.Future[Any]]]) -> None:
        try:
            answers = await self._fetch(self._database, zones, [asked for asked, _ in waiting])
        except Exception as failed:  # an edge: whatever happened, all who asked are told
            for _, future in waiting:
                if not future.done():
                    future.set_exception(failed)
            return
        for (_, future), answer in zip(waiting, answers, strict=True):
            if not future.done():  # who has gone meanwhile leaves its place in the row
                future.set_result(answer)
