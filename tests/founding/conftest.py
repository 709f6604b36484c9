"""A PostgreSQL 18 of the tests' own, on a UNIX socket in a temporary folder, and a fresh database for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import asyncpg
import pytest
from postgres import cluster

from cloister.audit import store as audit
from cloister.base.ids import new_id
from cloister.base.migrations import migrate, read_migrations
from cloister.identity import store
from cloister.zones import algorithms

THOROUGH: Final = algorithms.argon2id


@pytest.fixture(scope="module", autouse=True)
def quick_passphrases() -> Iterator[None]:
    """These tests found a trust each, in their own process, and what they ask does not depend on what a guess costs: one pass of 32 KiB
    instead of RFC 9106's second set. Every trust that is started as a process derives in full, and so do the vectors (zones)."""

    def quick(passphrase: bytes, salt: bytes, **_: int) -> bytes:
        return THOROUGH(passphrase, salt, passes=1, memory_kib=32, lanes=4)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(algorithms, "argon2id", quick)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, Any]]:
    with cluster() as running:
        yield running.arguments()


@pytest.fixture
async def database(server: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Arguments of a connection to an empty database that has the trust's schema."""
    name = "t" + new_id().replace("-", "")
    arguments = server
    owner = await asyncpg.connect(**arguments)
    await owner.execute(f"create database {name}")
    connection = await asyncpg.connect(**{**arguments, "database": name})
    await migrate(connection, [*read_migrations("identity", store.MIGRATIONS), *read_migrations("audit", audit.MIGRATIONS)])
    await connection.close()
    yield {**arguments, "database": name}
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()


@pytest.fixture
async def connection(database: dict[str, Any]) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(**database)
    yield connection
    await connection.close()
