"""Rows of the estate as an administrator's commands read and change them: a change is on record before it is made."""

from __future__ import annotations

from typing import Any

from cloister.base.settings import read_settings
from cloister.cli.database import owner
from cloister.cli.program import audited


async def rows_of(sql: str, *values: Any) -> list[Any]:
    async with owner(read_settings()) as connection:
        return list(await connection.fetch(sql, *values))


async def change(action: str, what: str, why: str, sql: str, *values: Any) -> list[Any]:
    """What the statement returns. `action`, `what` and `why` are the audit's; without an entry nothing is changed."""
    settings = read_settings()
    async with owner(settings, writing=True) as connection:
        await audited(settings, action, what, why)
        return list(await connection.fetch(sql, *values))
