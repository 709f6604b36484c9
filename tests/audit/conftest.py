"""A PostgreSQL of the tests' own with the schema `audit`, seen as the store gate's role sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from postgres import cluster

from cloister.audit import store
from cloister.base.migrations import migrate, read_migrations


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, Any]]:
    with cluster() as running:
        yield running.arguments()


@pytest.fixture
async def owner(server: dict[str, Any]) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The schema's owner, in an empty log; everything is undone afterwards."""
    connection = await asyncpg.connect(**server)
    change = connection.transaction()
    await change.start()
    await connection.execute("create role cloister_gate")
    await migrate(connection, read_migrations("audit", store.MIGRATIONS))
    yield connection
    await change.rollback()
    await connection.close()
