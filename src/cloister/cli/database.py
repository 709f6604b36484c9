"""The database as the machine's administrator reaches it: its owner, over the socket, beside the store gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from cloister.assemble import owner_connection
from cloister.base.database import LOST
from cloister.base.errors import Denied, Unavailable
from cloister.base.secret import Secret
from cloister.base.settings import Settings


def door_secret(settings: Settings) -> Secret:
    """The door's own key, under which it keeps passwords of directories and secrets of providers; for this machine's administrator."""
    try:
        return Secret((settings.secrets_folder / "door.key").read_bytes())
    except FileNotFoundError:
        raise Unavailable(f"There is no trust in {settings.state}.", hint="Start one with `cloister up`, or set CLOISTER_STATE.") from None
    except PermissionError as refused:
        raise Denied("The trust's secrets belong to another user.", hint="Run this as the user who runs `cloister up`.") from refused


@asynccontextmanager
async def owner(settings: Settings, *, writing: bool = False) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection, for reading unless `writing`. Unavailable when the trust does not run."""
    if not (settings.state / "secrets").exists():
        raise Unavailable(
            f"There is no trust in {settings.state}.", hint="Start one with `cloister up`, or set CLOISTER_STATE to its folder."
        )
    try:
        connection = await owner_connection(settings)
    except PermissionError as refused:
        raise Denied("The database's password belongs to another user.", hint="Run this as the user who runs `cloister up`.") from refused
    except (*LOST, TimeoutError) as lost:
        raise Unavailable("The database does not answer.", hint="Start the trust with `cloister up`, or set CLOISTER_STATE.") from lost
    try:
        # Whoever looks must not change anything by mistake.
        if not writing:
            await connection.execute("set default_transaction_read_only = on")
        yield connection
    except LOST as lost:
        raise Unavailable("The database went away.", hint="Try again when the trust runs.") from lost
    finally:
        await connection.close(timeout=5)
