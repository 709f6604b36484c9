"""PostgreSQL: a pool for a room's role, and numbered migrations that run once each.

A migration is a file `NNN_name.sql` in a room's `migrations` folder; it is applied in its own
transaction and recorded with its hash, so that a changed old file is noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.base.errors import Conflict, Unavailable

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,  # another of its processes was killed; it starts anew by itself
    asyncpg.InternalClientError,  # the driver's word for a connection that broke while it was handed out
    OSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where a role finds its database. The password never shows in a repr."""

    folder: Path  # of the server's UNIX socket
    port: int
    name: str
    role: str
    password_file: Path

    def arguments(self) -> dict[str, Any]:
        return {
            "host": str(self.folder),
            "port": self.port,
            "database": self.name,
            "user": self.role,
            "password": self.password_file.read_text().strip(),
            "server_settings": {"application_name": f"cloister-{self.role}", "jit": "off"},
        }


async def open_pool(arguments: dict[str, Any], *, smallest: int = 2, largest: int = 8) -> asyncpg.Pool[Any]:
    """A pool of connections; takes the arguments, not the Database, so that it works after privileges were dropped."""
    try:
        return await asyncpg.create_pool(min_size=smallest, max_size=largest, command_timeout=60, **arguments)
    except LOST as lost:
        raise Unavailable("The database does not answer.", hint="See the log of part 'postgres'.") from lost


@dataclass(frozen=True, slots=True)
class Migration:
    room: str
    number: int
    sql: str

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


def read_migrations(room: str, folder: Path) -> list[Migration]:
    return [Migration(room, int(file.name[:3]), file.read_text()) for file in sorted(folder.glob("[0-9][0-9][0-9]_*.sql"))]


async def migrate(connection: asyncpg.Connection[Any], migrations: Sequence[Migration]) -> int:
    """Apply what has not been applied; returns how many. Raises Conflict if an applied file has changed."""
    await connection.execute(
        "create table if not exists public.migration (room text, number int, digest bytea not null,"
        " applied timestamptz not null default now(), primary key (room, number))"
    )
    rows = await connection.fetch("select room, number, digest from public.migration order by room, number limit 10000")
    done = {(row["room"], row["number"]): row["digest"] for row in rows}
    count = 0
    for migration in migrations:
        key = (migration.room, migration.number)
        if key in done:
            if done[key] != migration.digest:
                raise Conflict(f"Migration {key[0]}/{key[1]:03d} has changed since it was applied.", hint="Write a new migration instead.")
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute("insert into public.migration values ($1, $2, $3)", *key, migration.digest)
        count += 1
    return count
