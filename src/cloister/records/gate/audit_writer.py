"""The only writer of the audit log: many callers, one insert at a time, each answered once its entries are durable.

Group commit: whatever was asked for while one insert ran goes into the next. After a lost connection the
tail of the log is read again before anything is appended, because the lost insert may have been kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloister.audit import Entry, Log, Row, resumed, store
from cloister.base.clock import Clock
from cloister.base.errors import Unavailable
from cloister.base.telemetry import log
from cloister.records.gate.connections import Connections

GROUP_ENTRIES_MAX: Final = 5000
WAITING_MAX: Final = 20_000
CHECKPOINT_ENTRIES: Final = 1000
CHECKPOINT_EVERY: Final = timedelta(minutes=1)
PAGE_ROWS: Final = 10_000  # of store.EVENTS_AFTER


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """Signs and verifies checkpoints for a trust; the key itself stays with whoever made these."""

    trust: str
    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], None]


class AuditWriter:
    """What `append` returns is done when the entries are on the disk, and raises when they could not be written."""

    def __init__(self, database: Connections, *, clock: Clock, checkpoint_key: CheckpointKey | None) -> None:
        self._database = database
        self._clock = clock
        self._key = checkpoint_key
        self._log: Log | None = None
        self._waiting: list[tuple[list[Entry], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._signed_at: datetime = clock()
        self._signed_size = 0
        self._task = asyncio.create_task(self._run())

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        """Await what this returns; the entries are on their way from now on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not entries:
            future.set_result(None)
        elif len(self._waiting) >= WAITING_MAX or self._task.done():
            future.set_exception(Unavailable("The audit log cannot be written now.", hint="See the log of part 'gate'.", reason="audit"))
        else:
            self._waiting.append((list(entries), future))
            self._wake.set()
        # Whoever asked may fail before it waits for this: the entries stay, and a failure to write them is logged here.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(Unavailable("The store gate is stopping.", reason="audit"))

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write(self._next_group())

    def _next_group(self) -> list[tuple[list[Entry], asyncio.Future[None]]]:
        count, taken = 0, 0
        for entries, _ in self._waiting:
            count += len(entries)
            if taken and count > GROUP_ENTRIES_MAX:
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _write(self, group: list[tuple[list[Entry], asyncio.Future[None]]]) -> None:
        try:
            written = self._log or await self._read()
            rows = written.number([entry for entries, _ in group for entry in entries])
            self._log = None  # until it is known what became of the insert
            await self._database.execute(store.APPEND, *store.append_arguments(rows))
            written.keep(rows)
            self._log = written
        except Exception as failed:  # the edge of the writer's task: it must outlive whatever a dying database does to its driver
            log("audit.not_written", level="error", kind=type(failed).__name__, entries=sum(len(entries) for entries, _ in group))
            for _, future in group:
                if not future.done():
                    future.set_exception(failed)
            return
        for _, future in group:
            if not future.done():
                future.set_result(None)
        await self._checkpoint(written)

    async def _read(self) -> Log:
        """The log as the database holds it: the last signed checkpoint, then every entry after it, verified."""
        checkpoint = None
        if self._key is not None:
            record = await self._database.fetchrow(store.LAST_CHECKPOINT)
            checkpoint = store.checkpoint_of(self._key.trust, record) if record is not None else None
        rows: list[Row] = []
        last = checkpoint.size - 1 if checkpoint is not None else -1
        while True:
            page = [store.row_of(record) for record in await self._database.fetch(store.EVENTS_AFTER, last)]
            rows.extend(page)
            if len(page) < PAGE_ROWS:
                break
            last = page[-1].seq
        found = resumed(checkpoint, rows, self._key.verify if self._key is not None else _no_checkpoint)
        self._signed_size = checkpoint.size if checkpoint is not None else 0
        return found

    async def _checkpoint(self, written: Log) -> None:
        now = self._clock()
        if self._key is None or written.size == self._signed_size:
            return
        if written.size - self._signed_size < CHECKPOINT_ENTRIES and now - self._signed_at < CHECKPOINT_EVERY:
            return
        checkpoint = written.checkpoint(self._key.trust, now, self._key.sign)
        try:
            await self._database.execute(store.APPEND_CHECKPOINT, *store.checkpoint_arguments(checkpoint))
        except Exception as failed:  # the same edge; the next checkpoint makes up for this one
            log("audit.no_checkpoint", level="warning", kind=type(failed).__name__)
            return
        self._signed_at, self._signed_size = now, checkpoint.size


def _no_checkpoint(message: bytes, signature: bytes) -> None:
    raise AssertionError("no checkpoint is read without a key")
