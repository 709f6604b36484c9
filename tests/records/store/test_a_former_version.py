"""A database of 29 November 2026, with records in it, comes forward by itself: everything opens, nothing is lost.

`former/dump.sql.xz` is what pg_dump gave of a made-up trust then; `former/facts.json` says what was in it, and the program's secret.
A migration that was released and is edited afterwards is refused here by its name.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from postgres import ACCOUNT, binaries, cluster
from store_rig import CHECKPOINT_SEED, HERE, PROGRAM, ROOMS, Rig

from cloister.base.errors import Conflict, NotFound
from cloister.base.migrations import Migration, migrate, read_migrations
from cloister.records.search import parse
from cloister.zones import TrustRoots, algorithms, audit_keys

FORMER = HERE / "former"
ENDS = datetime(2029, 11, 1, tzinfo=UTC)  # its people's certificates; keep the dump of a later version by then
FACTS: dict[str, Any] = json.loads((FORMER / "facts.json").read_text())
INDEXES = """
    select c.relname::text as name, substring(pg_get_indexdef(c.oid) from '[(].*') as columns
      from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = 'care.res'::regclass and i.indisvalid order by 1"""
ROLES = "create role cloister_gate login; create role cloister_estate;"


def all_migrations() -> list[Migration]:
    source = HERE.parents[2] / "src" / "cloister"
    return [one for room in ROOMS for one in read_migrations(room, source / room / "migrations")]


@pytest.fixture(scope="module")
def former() -> Iterator[Rig]:
    """A server with the former database, as it was left."""
    with cluster() as server:
        dump = ROLES.encode() + lzma.decompress((FORMER / "dump.sql.xz").read_bytes())
        command = [str(binaries() / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-h", str(server.folder), "-U", "postgres"]
        subprocess.run([*command, "postgres"], input=dump, check=True, capture_output=True, cwd="/", **ACCOUNT)
        made = Rig(server, server.folder)
        pin = audit_keys.AuditPin(algorithms.sign_public(CHECKPOINT_SEED))
        roots = (bytes.fromhex(FACTS["certificate_root"]), bytes.fromhex(FACTS["access_root"]))
        made.trust = TrustRoots(FACTS["trust"], *roots, pin)
        made._programs = {PROGRAM.client_id: FACTS["secret"]}
        yield made
        made.close()


async def counts(connection: asyncpg.Connection[Any]) -> dict[str, int]:
    return {table: await connection.fetchval(f"select count(*) from {table}") for table in FACTS["rows"] if not table.startswith("audit.")}


@pytest.mark.skipif(datetime.now(UTC) > ENDS, reason="the certificates in the former database have ended")
async def test_a_former_trust_comes_forward_and_opens(former: Rig) -> None:
    connection = await former.connect()
    expected = {table: rows for table, rows in FACTS["rows"].items() if not table.startswith("audit.")}
    assert await counts(connection) == expected
    assert await connection.fetchval("select relkind = 'r' from pg_class where oid = 'care.res_hist'::regclass")
    heard: list[str] = []
    assert await migrate(connection, all_migrations(), heard.append) > 0
    assert f"records/021: {expected['care.res_hist']:,} rows" in heard
    assert await counts(connection) == expected
    assert await connection.fetchval("select count(*) from pg_inherits where inhparent = 'care.res_hist'::regclass") == 16
    assert await connection.fetchval("select to_regclass('former.res_hist')") is None
    assert await connection.fetch(INDEXES) == [("res_of_dossier", "(dossier, rtype)"), ("res_pkey", "(id, rtype, dossier)")]
    assert await migrate(connection, all_migrations()) == 0
    await connection.close()
    former.start_gate()
    session = await former.session(PROGRAM)
    patient = await session.records.read("Patient", FACTS["patient"])
    assert patient.version == 2
    assert [one.version for one in await session.records.history("Observation", FACTS["amended"])] == [2, 1]
    assert (await session.records.vread("Observation", FACTS["amended"], 1)).raw
    with pytest.raises(NotFound):
        await session.records.read("Observation", FACTS["deleted"])
    page = await session.records.search(parse("Observation", [("patient", FACTS["patient"]), ("_count", "200")]))
    assert FACTS["amended"] in {hit.stored.id for hit in page.hits}
    assert (await session.records.update({**json.loads(patient.raw), "active": True})).stored.version == 3
    session.close()


async def test_an_interrupted_move_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with cluster() as server:
        connection = await asyncpg.connect(**server.arguments())
        await connection.execute("create table a (n int); create table b (n int); insert into a select generate_series(1, 10)")
        move = "-- In batches: from a to b.\nwith t as (delete from a where n in (select n from a order by n limit 4) returning n),"
        move += " m as (insert into b select n from t returning 1) select count(*) from m"
        steps = [Migration("x", 1, move)]

        class Pulled(Exception):
            pass

        def pull(text: str) -> None:
            raise Pulled(text)

        with pytest.raises(Pulled):
            await migrate(connection, steps, pull)
        assert await connection.fetchval("select count(*) from b") == 4
        heard: list[str] = []
        assert await migrate(connection, steps, heard.append) == 1
        assert heard == ["x/001: 4 rows", "x/001: 6 rows"]
        assert await connection.fetchval("select count(*) from b") == 10

        with pytest.raises(Conflict, match="newer version") as refused:
            await migrate(connection, [Migration("x", 0, "select 1")])
        assert refused.value.reason == "database-newer"
        with pytest.raises(Conflict) as changed:
            await migrate(connection, [Migration("x", 1, move + " ")])
        assert changed.value.reason == "migration-changed"
        await connection.close()


async def test_an_index_is_built_while_others_write(tmp_path: Path) -> None:
    with cluster() as server:
        connection, other = await asyncpg.connect(**server.arguments()), await asyncpg.connect(**server.arguments())
        await connection.execute("create table a (n int); insert into a select generate_series(1, 10)")
        await connection.execute("create index half on a (n)")  # as an interrupted start leaves one
        build = "-- Beside the work: an index.\ndrop index concurrently if exists half;\ncreate unique index concurrently half on a (n);\n"
        steps = [Migration("x", 1, build)]
        writing = other.transaction()
        await writing.start()
        await other.execute("insert into a values (11)")
        heard: list[str] = []
        building = asyncio.create_task(migrate(connection, steps, heard.append))
        await asyncio.sleep(0.2)
        assert not building.done()  # it waits for this one's end, and keeps nobody waiting
        await other.execute("insert into a values (12)")
        await writing.commit()
        assert await building == 1
        assert await other.fetchval("select indisunique and indisvalid from pg_index where indexrelid = 'half'::regclass")
        assert await migrate(connection, steps) == 0
        await connection.close()
        await other.close()
