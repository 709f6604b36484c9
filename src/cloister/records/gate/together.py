"""What several sessions ask at one moment, asked of PostgreSQL at once: a statement for thirty costs little more than for one.

Only calls with the very same zones are put together, so that the statement restricts all of them by what each may open.
Whatever is asked for while others run goes into the next (as the audit log's group commit); nobody waits for a clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from cloister.records.gate.connections import Connections

ASKED_MAX: Final = 64  # in one statement
AT_ONCE_MAX: Final = 2  # statements under way for one set of zones

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
        if self._running.get(zones, 0) < AT_ONCE_MAX:
            self._running[zones] = self._running.get(zones, 0) + 1
            task = asyncio.get_running_loop().create_task(self._run(zones))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self, zones: Zones) -> None:
        try:
            while waiting := self._waiting.pop(zones, None):
                if len(waiting) > ASKED_MAX:
                    self._waiting[zones] = waiting[ASKED_MAX:]
                await self._answer(zones, waiting[:ASKED_MAX])
        finally:
            left = self._running[zones] - 1
            if left:
                self._running[zones] = left
            else:
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
