"""The only writer of the audit log: many callers, one insert at a time, each answered once its entries are durable.

Group commit: whatever was asked for while one insert ran goes into the next. After a lost connection the
tail of the log is read again before anything is appended, because the lost insert may have been kept.
Each source numbers its entries when they come in: an entry that could not be written leaves a gap that everybody sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from cloister.audit import (
    Checkpoint,
    DataKey,
    Entry,
    Log,
    NoteSigner,
    Row,
    Sealed,
    resumed,
    sealed_entry,
    signed_checkpoint,
    store,
    verified_checkpoint,
)
from cloister.base.clock import Clock
from cloister.base.errors import Unavailable
from cloister.base.telemetry import log
from cloister.records.gate.connections import Connections

GROUP_ENTRIES_MAX: Final = 2000
WAITING_MAX: Final = 20_000
GATHER_SECONDS: Final = 0.0015  # that the next of a crowd's groups waits, because an insert for ten costs little more than for one
CHECKPOINT_SECONDS: Final = 1.0
STRONG_EVERY: Final = timedelta(hours=1)  # the second signature, with ML-DSA-65
HEAD_AGE_MAX: Final = timedelta(seconds=30)
PAUSE_SECONDS: Final = 1.0  # before a checkpoint that could not be written is tried again

KEY_TRIES: Final = 5  # several gates make their hours' keys, and one number is one key's

Numbered = list[tuple[Entry, str, int]]
Waiting = Numbered | list[Sealed]  # what other gates sent is sealed already


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """What signs the log's checkpoints, each second and each hour, and what makes an hour's data key."""

    signer: NoteSigner
    strong: NoteSigner
    new_data_key: Callable[[store.Fetch, int, datetime], Awaitable[DataKey]]


class HourKeys:
    """This gate's data key of the hour; a new one after a restart, because nobody here can open the old one."""

    def __init__(self, database: Connections, clock: Clock, make: Callable[[store.Fetch, int, datetime], Awaitable[DataKey]]) -> None:
        self._database = database
        self._clock = clock
        self._make = make
        self._key: DataKey | None = None

    async def current(self) -> DataKey:
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        if self._key is None or self._key.begins != hour:
            self._key = None
            self._key = await self._new(hour)
        return self._key

    async def _new(self, hour: datetime) -> DataKey:
        for tries in range(KEY_TRIES):
            number = int(await self._database.fetchval(store.LAST_KEY)) + 1
            key = await self._make(self._database.fetch, number, hour)
            try:
                await self._database.execute(store.APPEND_KEY, *store.key_arguments(key))
                return key
            except asyncpg.UniqueViolationError:  # another gate took this number
                await asyncio.sleep(0.01 * (tries + 1) * (1 + secrets.randbelow(10)))
        raise Unavailable("The audit log's key cannot be made now.", hint="Try again in a moment.", reason="audit")


class AuditWriter:
    """What `append` returns is done when the entries are on the disk, and raises when they could not be written."""

    def __init__(self, database: Connections, *, clock: Clock, keys: AuditKeys) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._instance = secrets.token_hex(4)
        self._numbers: dict[str, int] = {}
        self._log: Log | None = None
        self._key = HourKeys(database, clock, keys.new_data_key)
        self._head: Checkpoint | None = None
        self._strong_at: datetime | None = None
        self._waiting: list[tuple[Waiting, asyncio.Future[None]]] = []
        self._asked: list[tuple[int, asyncio.Future[Checkpoint]]] = []
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._first = asyncio.create_task(self._sign_what_is_there())

    def append(self, entries: Sequence[Entry], source: str = "gate") -> asyncio.Future[None]:
        """Await what this returns; the entries are on their way from now on."""
        if not entries or self._full():
            return self._wait([])
        name, first = f"{source}@{self._instance}", self._numbers.get(source, 0) + 1
        self._numbers[source] = first + len(entries) - 1
        return self._wait([(entry, name, first + at) for at, entry in enumerate(entries)])

    def append_sealed(self, rows: list[Sealed]) -> asyncio.Future[None]:
        """What another gate of the estate sealed and numbered (audit_keeper.py)."""
        return self._wait(rows)

    def _full(self) -> bool:
        return len(self._waiting) >= WAITING_MAX or self._task.done()

    def _wait(self, entries: Waiting) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._full():
            future.set_exception(Unavailable("The audit log cannot be written now.", hint="See the log of part 'gate'.", reason="audit"))
        elif not entries:
            future.set_result(None)
        else:
            self._waiting.append((entries, future))
            self._wake.set()
        # Whoever asked may fail before it waits for this: the entries stay, and a failure to write them is logged here.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def head(self, least: int = 0) -> Checkpoint:
        """A signed checkpoint of at least this size and not old; signed now if there is none."""
        future: asyncio.Future[Checkpoint] = asyncio.get_running_loop().create_future()
        self._asked.append((least, future))
        self._wake.set()
        return await future

    async def _sign_what_is_there(self) -> None:
        """What stands in the log when the gate starts (the founding's entries) need not wait for the first reader."""
        with contextlib.suppress(Exception):  # an edge: a database that is still starting; the first entry does it then
            await self.head()

    async def close(self) -> None:
        self._first.cancel()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        left: list[asyncio.Future[Any]] = [*(future for _, future in self._waiting), *(future for _, future in self._asked)]
        for future in left:
            if not future.done():
                future.set_exception(Unavailable("The store gate is stopping.", reason="audit"))

    async def _run(self) -> None:
        crowded = False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECKPOINT_SECONDS if self._behind() else None):
                    await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                if crowded:
                    await asyncio.sleep(GATHER_SECONDS)
                group = self._next_group()
                crowded = len(group) > 1
                await self._write(group)
                await self._answer_heads()
                if self._due():
                    await self._sign_now()
            await self._answer_heads()
            if self._due():
                await self._sign_now()

    def _behind(self) -> bool:
        return self._log is not None and (self._head is None or self._log.size != self._head.size)

    def _due(self) -> bool:
        return self._behind() and (self._head is None or (self._clock() - self._head.at).total_seconds() >= CHECKPOINT_SECONDS)

    def _next_group(self) -> list[tuple[Waiting, asyncio.Future[None]]]:
        count, taken = 0, 0
        for entries, _ in self._waiting:
            count += len(entries)
            if taken and count > GROUP_ENTRIES_MAX:
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _write(self, group: list[tuple[Waiting, asyncio.Future[None]]]) -> None:
        try:
            written = self._log or await self._read()
            key = await self._key.current()
            step = written.step([sealed(one, key) for entries, _ in group for one in entries])
            self._log = None  # until it is known what became of the insert
            await self._database.execute(store.APPEND, *store.append_arguments(step))
            written.keep(step)
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

    async def _read(self) -> Log:
        """The log as the database holds it: the tree of the last signed checkpoint, then every entry after it, verified."""
        record = await self._database.fetchrow(store.LAST_CHECKPOINT)
        checkpoint = verified_checkpoint(record["note"], self._keys.signer.key) if record is not None else None
        frontier = await store.frontier(self._database.fetch, checkpoint.size) if checkpoint is not None else None
        rows: list[Row] = []
        last = checkpoint.size - 1 if checkpoint is not None else -1
        while True:
            page = [store.row_of(record) for record in await self._database.fetch(store.EVENTS_AFTER, last)]
            rows.extend(page)
            if len(page) < store.ROWS_PAGE:
                break
            last = page[-1].seq
        found = resumed(checkpoint, frontier, rows)
        self._head = checkpoint
        return found

    # --- checkpoints ------------------------------------------------------------------------------------

    async def _answer_heads(self) -> None:
        asked, self._asked = self._asked, []
        if not asked:
            return
        try:
            least = max(size for size, _ in asked)
            written = self._log = self._log or await self._read()
            if self._head is None or self._head.size < least or self._clock() - self._head.at > HEAD_AGE_MAX:
                await self._sign(written)
        except Exception as failed:  # the same edge
            for _, future in asked:
                if not future.done():
                    future.set_exception(failed)
            return
        for _, future in asked:
            if not future.done() and self._head is not None:
                future.set_result(self._head)

    async def _sign_now(self) -> None:
        try:
            if self._log is not None:
                await self._sign(self._log)
        except Exception as failed:  # the same edge; the next checkpoint makes up for this one
            log("audit.no_checkpoint", level="warning", kind=type(failed).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _sign(self, written: Log) -> None:
        now = self._clock()
        strong = self._strong_at is None or now - self._strong_at >= STRONG_EVERY
        signers = (self._keys.signer, self._keys.strong) if strong else (self._keys.signer,)
        checkpoint = signed_checkpoint(self._keys.signer.key.name, written.size, written.root(), now, signers)
        await self._database.execute(store.APPEND_CHECKPOINT, *store.checkpoint_arguments(checkpoint))
        self._head = checkpoint
        if strong:
            self._strong_at = now


def sealed(one: tuple[Entry, str, int] | Sealed, key: DataKey) -> Sealed:
    return one if isinstance(one, Sealed) else sealed_entry(*one, key)
