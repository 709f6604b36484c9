"""PostgreSQL: how a role reaches it, and a pool of connections. What changes the schema is migrations.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.base.errors import Unavailable

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
        return await asyncpg.create_pool(min_size=smallest, max_size=largest, command_timeout=60, reset=_unchanged, **arguments)
    except LOST as lost:
        raise Unavailable("The database does not answer.", hint="See the log of part 'postgres'.") from lost


async def _unchanged(connection: asyncpg.Connection[Any]) -> None:
    """Single statements leave nothing behind in a connection, so that giving it back costs no question to the server."""
