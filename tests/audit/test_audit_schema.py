"""The table behind the log: the store gate appends and reads, and nobody changes or removes an entry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from cloister.audit import Entry, Log, resumed, store

NOW = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)


def entries(count: int) -> list[Entry]:
    return [Entry(NOW + timedelta(seconds=n), "adele", "s-1", "read", "Patient", f"p-{n}", "success") for n in range(count)]


def sign(message: bytes) -> bytes:
    return b"signed by the test" + message[:8]


def verify(message: bytes, signature: bytes) -> None:
    assert signature == sign(message)


async def refused_to(connection: asyncpg.Connection[Any], statement: str) -> bool:
    """Whether the database refuses for want of privilege; nothing stays changed."""
    change = connection.transaction()
    await change.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await change.rollback()
    return False


async def test_the_gate_appends_and_reads_back_what_it_wrote(owner: asyncpg.Connection[Any]) -> None:
    await owner.execute("set role cloister_gate")
    log = Log()
    rows = log.number(entries(50))
    await owner.execute(store.APPEND, *store.append_arguments(rows))
    log.keep(rows)
    checkpoint = log.checkpoint("trust", NOW, sign)
    await owner.execute(store.APPEND_CHECKPOINT, *store.checkpoint_arguments(checkpoint))
    more = log.number(entries(3))
    await owner.execute(store.APPEND, *store.append_arguments(more))
    log.keep(more)

    last = store.checkpoint_of("trust", await owner.fetchrow(store.LAST_CHECKPOINT))
    assert last == checkpoint
    read = [store.row_of(record) for record in await owner.fetch(store.EVENTS_AFTER, -1)]
    assert read == [*rows, *more]
    assert (
        resumed(last, [store.row_of(record) for record in await owner.fetch(store.EVENTS_AFTER, last.size - 1)], verify).root()
        == log.root()
    )
    assert [store.row_of(record).seq for record in await owner.fetch(store.TAIL, 2)] == [52, 51]
    assert [store.row_of(record).seq for record in await owner.fetch(store.EVENTS_OF_OBJECT, "p-2", 10)] == [52, 2]
    assert len(await owner.fetch(store.CHECKPOINTS, 0)) == 1


@pytest.mark.parametrize("role", ["cloister_gate", "postgres"])
@pytest.mark.parametrize("table", ["event", "checkpoint"])
async def test_no_entry_is_changed_or_removed(owner: asyncpg.Connection[Any], role: str, table: str) -> None:
    await owner.execute(f"set role {role}")
    column = "actor = ''" if table == "event" else "root = ''"
    for statement in (f"update audit.{table} set {column}", f"delete from audit.{table}", f"truncate audit.{table}"):
        assert await refused_to(owner, statement)
    assert not await refused_to(owner, f"select * from audit.{table}")


async def test_others_see_nothing_of_the_log(owner: asyncpg.Connection[Any]) -> None:
    await owner.execute("create role a_stranger")
    await owner.execute("set role a_stranger")
    assert await refused_to(owner, "select * from audit.event")


async def test_two_entries_never_get_the_same_number(owner: asyncpg.Connection[Any]) -> None:
    rows = Log().number(entries(2))
    await owner.execute(store.APPEND, *store.append_arguments(rows))
    with pytest.raises(asyncpg.UniqueViolationError):
        await owner.execute(store.APPEND, *store.append_arguments(rows))
