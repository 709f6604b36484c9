"""The table behind the log: the store gate appends and reads, and nobody changes or removes an entry."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from audit_cast import KEY, NOW, SIGNER, sealed

from cloister.audit import Log, resumed, signed_checkpoint, store, tree, verified_checkpoint


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
    await owner.execute(store.APPEND_KEY, *store.key_arguments(KEY))
    step = log.step(sealed(number) for number in range(600))
    await owner.execute(store.APPEND, *store.append_arguments(step))
    log.keep(step)
    assert [node[:2] for node in step.nodes] == [(1, 0), (1, 1)]
    checkpoint = signed_checkpoint(SIGNER.key.name, log.size, log.root(), NOW, (SIGNER,))
    await owner.execute(store.APPEND_CHECKPOINT, *store.checkpoint_arguments(checkpoint))
    more = log.step(sealed(number) for number in range(600, 603))
    await owner.execute(store.APPEND, *store.append_arguments(more))
    log.keep(more)

    last = verified_checkpoint((await owner.fetchrow(store.LAST_CHECKPOINT))["note"], SIGNER.key)
    assert last == checkpoint
    read = [store.row_of(record) for record in await owner.fetch(store.EVENTS_AFTER, -1)]
    assert read == [*step.rows, *more.rows]
    rest = [store.row_of(record) for record in await owner.fetch(store.EVENTS_AFTER, last.size - 1)]
    assert resumed(last, await store.frontier(owner.fetch, last.size), rest).root() == log.root()
    for old in (1, 256, 300, 600, 602, 603):
        before = (await store.tiles(owner.fetch, [(0, old)])).hash((0, old))
        tree.verify_consistency(old, before, 603, log.root(), await store.consistency_proof(owner.fetch, old, 603))
    assert [store.row_of(record).seq for record in await owner.fetch(store.TAIL, -1, 2)] == [602, 601]
    assert len(await owner.fetch(store.CHECKPOINTS, -1, NOW)) == 1


@pytest.mark.parametrize("role", ["cloister_gate", "postgres"])
@pytest.mark.parametrize("table", ["event", "node", "data_key", "checkpoint", "cosignature"])
async def test_no_entry_is_changed_or_removed(owner: asyncpg.Connection[Any], role: str, table: str) -> None:
    await owner.execute(f"set role {role}")
    column = {"event": "actor = 1", "node": "hash = ''", "data_key": "sealed = ''"}.get(table, "size = 1")
    for statement in (f"update audit.{table} set {column}", f"delete from audit.{table}", f"truncate audit.{table}"):
        assert await refused_to(owner, statement)
    assert not await refused_to(owner, f"select * from audit.{table}")


async def test_others_see_nothing_of_the_log(owner: asyncpg.Connection[Any]) -> None:
    await owner.execute("create role a_stranger")
    await owner.execute("set role a_stranger")
    assert await refused_to(owner, "select * from audit.event")


async def test_two_entries_never_get_the_same_number(owner: asyncpg.Connection[Any]) -> None:
    step = Log().step([sealed(0), sealed(1)])
    await owner.execute(store.APPEND, *store.append_arguments(step))
    with pytest.raises(asyncpg.UniqueViolationError):
        await owner.execute(store.APPEND, *store.append_arguments(step))
