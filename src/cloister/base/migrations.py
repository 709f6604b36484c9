"""Numbered migrations: a trust with data comes forward by itself at its next start, and loses nothing on the way. docs/migrations.md.

A migration is a file `NNN_name.sql` in a room's `migrations` folder. It is applied once, in a transaction of its own, and
recorded with its hash: a file that was ever released never changes again. One whose first line begins with IN_BATCHES is a
single statement that does a bounded piece and returns how much it did; it is repeated, each piece kept, until it returns 0.
One that begins with BESIDE has no transaction, so that an index is built while others write; its first statement removes the half
of an earlier try. So whatever is interrupted goes on where it stopped. Never goes back: a newer database is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.base.errors import Busy, Conflict

IN_BATCHES: Final = "-- In batches:"
BESIDE: Final = "-- Beside the work:"
LOCK_SECONDS: Final = 5  # waited for a lock that others hold; they wait behind us meanwhile, so not long
LOCK_TRIES: Final = 12
TOLD_SECONDS: Final = 2.0  # what takes longer is told of
PAUSE_SECONDS: Final = 1.0  # in which the others go on
ONE_AT_A_TIME: Final = 0x636C6F6973746572  # pg_advisory_lock: "cloister"

TABLE: Final = """
    create table if not exists public.migration (
        room text, number int, digest bytea not null, applied timestamptz not null default now(), primary key (room, number)
    )"""
APPLIED: Final = "select room, number, digest from public.migration order by room, number limit 10000"
RECORD: Final = "insert into public.migration values ($1, $2, $3)"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Migration:
    room: str
    number: int
    sql: str

    @property
    def name(self) -> str:
        return f"{self.room}/{self.number:03d}"

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


def read_migrations(room: str, folder: Path) -> list[Migration]:
    return [Migration(room, int(file.name[:3]), file.read_text()) for file in sorted(folder.glob("[0-9][0-9][0-9]_*.sql"))]


def due(migrations: Sequence[Migration], applied: dict[tuple[str, int], bytes]) -> list[Migration]:
    """What is to be applied; raises Conflict for a database that this program did not make, or not in this version."""
    known = {(one.room, one.number): one for one in migrations}
    rooms = {one.room for one in migrations}
    for place, digest in applied.items():
        if place[0] in rooms and place not in known:
            raise Conflict(
                f"This database was used by a newer version of Cloister: {place[0]}/{place[1]:03d} is not known here.",
                hint="Start the newer version again, or restore a backup from before it.",
                reason="database-newer",
            )
        if place in known and known[place].digest != digest:
            raise Conflict(
                f"Migration {known[place].name} has changed since it was applied.",
                hint="Put it back as it was, and write a new migration instead.",
                reason="migration-changed",
            )
    return [one for one in migrations if (one.room, one.number) not in applied]


async def migrate(connection: asyncpg.Connection[Any], migrations: Sequence[Migration], tell: Tell = lambda text: None) -> int:
    """Apply what has not been applied; returns how many. `tell` hears how far a long one is.

    Raises Conflict as `due` does, and Busy when another process is doing the same or holds a table for too long.
    """
    async with _alone(connection):
        await connection.execute(TABLE)
        rows = await connection.fetch(APPLIED)
        left = due(migrations, {(row["room"], row["number"]): row["digest"] for row in rows})
        for one in left:
            apply = _in_batches if one.sql.startswith(IN_BATCHES) else _beside if one.sql.startswith(BESIDE) else _at_once
            await apply(connection, one, tell)
        return len(left)


@asynccontextmanager
async def _alone(connection: asyncpg.Connection[Any]) -> AsyncIterator[None]:
    if not await connection.fetchval("select pg_try_advisory_lock($1)", ONE_AT_A_TIME):
        raise Busy("Another process is bringing this database up to date.", hint="Wait until it is done, then start again.")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("select pg_advisory_unlock($1)", ONE_AT_A_TIME)


async def _at_once(connection: asyncpg.Connection[Any], one: Migration, tell: Tell) -> None:
    for turn in range(LOCK_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute(one.sql)
                await connection.execute(RECORD, one.room, one.number, one.digest)
            return
        except asyncpg.LockNotAvailableError:
            tell(f"{one.name}: waiting for a table that is in use ({turn + 1} of {LOCK_TRIES})")
            await asyncio.sleep(PAUSE_SECONDS)
    raise Busy(f"Migration {one.name} waits for a table that something holds.", hint="Stop what uses this database, then start again.")


async def _in_batches(connection: asyncpg.Connection[Any], one: Migration, tell: Tell) -> None:
    """Each piece is kept: what an interruption leaves is done by the next start."""
    total = 0
    while True:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
            did = int(await connection.fetchval(one.sql))
            if did == 0:
                await connection.execute(RECORD, one.room, one.number, one.digest)
                return
        total += did
        tell(f"{one.name}: {total:,} rows")


async def _beside(connection: asyncpg.Connection[Any], one: Migration, tell: Tell) -> None:
    late = asyncio.get_running_loop().call_later(TOLD_SECONDS, tell, f"{one.name}: an index of a large table; others go on meanwhile")
    try:
        for statement in filter(str.strip, one.sql.split(";\n")):
            await connection.execute(statement)
    finally:
        late.cancel()
    await connection.execute(RECORD, one.room, one.number, one.digest)
