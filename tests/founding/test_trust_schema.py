"""Schema `trust` under the roles that use it: the gate serves sessions, the controller sees no sealed key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from founding_cast import ADELE, LABORATORY, NOW, PLAN

from cloister.assemble.founding import found
from cloister.base.errors import Denied, NotFound
from cloister.identity import Kind, Role, store

TABLES = ("trust", "hospital", "ward", "person", "identity", "certificate", "mandate", "unlocker", "zone", "epoch", '"grant"')


@pytest.fixture
async def founded(connection: asyncpg.Connection[Any], tmp_path: Path) -> asyncpg.Connection[Any]:
    await found(connection, PLAN, tmp_path, lambda: NOW)
    return connection


async def allowed(connection: asyncpg.Connection[Any], role: str, statement: str) -> bool:
    """Whether the role may; nothing stays changed."""
    change = connection.transaction()
    await change.start()
    try:
        await connection.execute(f"set local role {role}")
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await change.rollback()
    return True


async def test_the_gate_reads_all_and_changes_unlockers_only(founded: asyncpg.Connection[Any]) -> None:
    for table in TABLES:
        assert await allowed(founded, "cloister_gate", f"select * from trust.{table}")
        assert await allowed(founded, "cloister_gate", f"delete from trust.{table} where false") == (table == "unlocker")
    assert await allowed(founded, "cloister_gate", "update trust.unlocker set label = 'x'")
    assert not await allowed(founded, "cloister_gate", "update trust.person set role = 'doctor'")
    for column in ("body", "person", "live_until"):
        assert not await allowed(founded, "cloister_gate", f'update trust."grant" set {column} = {column}')
    for table in ("certificate", '"grant"', "epoch", "zone", "mandate", "unlocker"):
        assert await allowed(founded, "cloister_gate", f"insert into trust.{table} select * from trust.{table} where false")
    for table in ("trust", "person", "identity"):
        assert not await allowed(founded, "cloister_gate", f"insert into trust.{table} select * from trust.{table} where false")


async def test_the_gate_ends_a_grant_and_never_brings_it_back(founded: asyncpg.Connection[Any]) -> None:
    assert await allowed(founded, "cloister_gate", 'update trust."grant" set revoked = now()')
    await founded.execute('update trust."grant" set revoked = now()')
    assert not await allowed(founded, "cloister_gate", 'update trust."grant" set revoked = null')
    assert not await allowed(founded, "cloister_gate", "update trust.\"grant\" set revoked = now() + interval '1 hour'")


async def test_the_controller_proves_people_and_never_sees_a_sealed_key(founded: asyncpg.Connection[Any]) -> None:
    for table in ("identity", "mandate", "zone", "epoch", '"grant"'):
        assert not await allowed(founded, "cloister_estate", f"select * from trust.{table}")
    assert not await allowed(founded, "cloister_estate", "select sealed from trust.unlocker")
    assert not await allowed(founded, "cloister_estate", "update trust.unlocker set verifier = ''")
    assert not await allowed(founded, "cloister_estate", "delete from trust.unlocker where false")
    assert not await allowed(founded, "cloister_estate", "insert into trust.unlocker select * from trust.unlocker where false")
    await founded.execute("set role cloister_estate")
    known = await store.known(founded, ADELE.sign_in)
    assert known.authenticators[0].kind == Kind.PASSPHRASE
    await store.mark_used(founded, known.authenticators[0], now=NOW)
    assert (await store.known(founded, ADELE.sign_in)).authenticators[0].last_used == NOW
    assert len(await store.people(founded)) == 6
    assert [ward.id for ward in await store.wards(founded)] == ["saint-roch-cardiology", "sainte-anne-tilleuls"]
    assert (await store.trust(founded)).name == PLAN.name


async def test_a_name_that_nobody_has_is_known_as_such(founded: asyncpg.Connection[Any]) -> None:
    known = await store.known(founded, "nobody")
    assert known.person is None
    assert known.authenticators == ()
    with pytest.raises(NotFound):
        await store.person(founded, "p-nobody")


async def test_hospitals_wards_zones_and_people_are_listed_in_their_order(founded: asyncpg.Connection[Any]) -> None:
    assert [(one.id, one.kind, one.zone) for one in await store.hospitals(founded)] == [
        ("saint-roch", "general", "saint-roch"),
        ("sainte-anne", "psychiatric", "sainte-anne"),
    ]
    zones = {one.id: one for one in await store.zones(founded)}
    assert set(zones) == {*PLAN.zones, "recovery-canary"}
    assert zones["sainte-anne-tilleuls"].ward == "sainte-anne-tilleuls"
    assert (await store.people(founded))[-1].id == LABORATORY.client_id
    assert (await store.person(founded, LABORATORY.client_id)).role == Role.PROGRAM


async def test_a_copied_passkey_whose_counter_stays_behind_is_refused(founded: asyncpg.Connection[Any]) -> None:
    await founded.execute(
        "insert into trust.unlocker (id, person, kind, params, sealed, credential_id, credential_public, sign_count, created)"
        " values ('u-key', $1, 'passkey', '{}', '', 'id', 'public', 7, now())",
        ADELE.id,
    )
    known = await store.known(founded, ADELE.sign_in)
    key = next(one for one in known.authenticators if one.kind == Kind.PASSKEY)
    await store.mark_used(founded, replace(key, sign_count=8), now=NOW)
    for behind in (8, 7, 0):
        with pytest.raises(Denied):
            await store.mark_used(founded, replace(key, sign_count=behind), now=NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into trust.trust select 'second', name, founded, certificate_root, access_root, certificate_root_der from trust.trust",
        "update trust.trust set access_root = certificate_root",
        "update trust.person set role = 'program' where id = 'p-adele'",
        "update trust.person set role = 'surgeon' where id = 'p-adele'",
        "update trust.unlocker set verifier = null",
        "update trust.unlocker set kind = 'passkey'",
        "update trust.hospital set kind = 'spa'",
    ],
)
async def test_rows_that_make_no_sense_are_refused_by_the_database(founded: asyncpg.Connection[Any], statement: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await founded.execute(statement)
