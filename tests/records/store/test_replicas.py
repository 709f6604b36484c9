"""Reads from a real standby: never older than what a session has seen, never instead of the audit log, and not when it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from people import patient, weight
from postgres import Cluster, standby
from store_rig import ADELE, CARDIOLOGY, PROGRAM, Rig, Session, rig

from cloister.records import parse


@pytest.fixture(scope="module")
def followed() -> Iterator[tuple[Rig, Cluster]]:
    """A trust of its own, whose gate knows one standby, and one that never was."""
    with rig() as made, standby(made.server) as second:
        made.stop_gate()
        made.replicas = {
            "second": second.arguments("postgres", "cloister_gate"),
            "lost": {**second.arguments("postgres", "cloister_gate"), "host": "/nowhere"},
        }
        made.start_gate()
        yield made, second


@pytest.fixture
async def program(followed: tuple[Rig, Cluster]) -> AsyncIterator[Session]:
    session = await followed[0].session(PROGRAM)
    yield session
    session.close()


@pytest.fixture
async def second(followed: tuple[Rig, Cluster]) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(**followed[1].arguments())
    yield connection
    await connection.close()


async def scans(connection: asyncpg.Connection[Any]) -> int:
    """How often the record was looked into here; statistics come within a second of a connection's rest."""
    await asyncio.sleep(1.2)
    await connection.execute("select pg_stat_clear_snapshot()")
    return int(await connection.fetchval("select idx_scan from pg_stat_all_tables where relid = 'care.res'::regclass"))


async def read_often(session: Session, id: str, times: int = 30) -> None:
    for _ in range(times):
        await session.records.read("Patient", id)
        await asyncio.sleep(0.01)


async def test_a_session_reads_from_the_standby_and_sees_what_it_has_just_written(
    program: Session, second: asyncpg.Connection[Any]
) -> None:
    before = await scans(second)
    id = (await program.records.create(patient("Second"))).stored.id
    for turn in range(2, 12):
        changed = (await program.records.read("Patient", id)).resource or {}
        written = await program.records.update({**changed, "gender": ("male", "female")[turn % 2]})
        assert written.stored.version == turn
        assert (await program.records.read("Patient", id)).version == turn
    async with asyncio.timeout(60):  # how soon it follows is the machine's doing
        while await scans(second) <= before + 5:
            await read_often(program, id)


async def test_a_standby_that_stands_still_is_not_asked(program: Session, second: asyncpg.Connection[Any]) -> None:
    id = (await program.records.create(patient("Still"))).stored.id
    await read_often(program, id)
    await second.execute("select pg_wal_replay_pause()")
    try:
        made = (await program.records.create(weight(id))).stored
        assert (await program.records.read("Observation", made.id)).version == 1
        page = await program.records.search(parse("Observation", [("patient", id)], strict=True))
        assert [hit.stored.id for hit in page.hits] == [made.id]
        await asyncio.sleep(1.3)  # beyond the bound of what may be older
        before = await scans(second)
        await read_often(program, id)
        assert await scans(second) == before
    finally:
        await second.execute("select pg_wal_replay_resume()")


async def test_nobody_goes_back_to_what_was_before(followed: tuple[Rig, Cluster], program: Session) -> None:
    """A nurse reads what a program writes all the time: the version she sees never falls."""
    adele = await followed[0].session(ADELE)
    id = (await program.records.create(patient("Forward"), zone=CARDIOLOGY)).stored.id

    async def write() -> None:
        for turn in range(25):
            await program.records.update({**patient("Forward", str(turn)), "id": id})
            await asyncio.sleep(0.02)

    writing, versions, end = asyncio.create_task(write()), [1], time.monotonic() + 20
    while (not writing.done() or versions[-1] < 26) and time.monotonic() < end:
        versions.append((await adele.records.read("Patient", id)).version)
        await asyncio.sleep(0.005)
    await writing
    adele.close()
    assert versions == sorted(versions)
    assert versions[-1] == 26


async def test_each_answer_has_its_entry_on_the_primary_first(followed: tuple[Rig, Cluster], program: Session) -> None:
    id = (await program.records.create(patient("Entry"))).stored.id
    primary = await followed[0].connect()
    await read_often(program, id, 10)
    for _ in range(10):
        before = await primary.fetchval("select count(*) from audit.event")
        await program.records.read("Patient", id)
        assert await primary.fetchval("select count(*) from audit.event") > before
    await primary.close()


async def test_a_standby_that_is_gone_is_taken_out_by_name_and_comes_back(followed: tuple[Rig, Cluster], program: Session) -> None:
    made, server = followed
    id = (await program.records.create(patient("Gone"))).stored.id
    await read_often(program, id, 5)
    server.stop()
    await read_often(program, id, 20)
    text = (made.folder / "gate.log").read_text()
    assert '"gate.replica_away"' in text
    assert '"second"' in text
    assert '"lost"' in text
    server.start()
    async with asyncio.timeout(20):
        while '"gate.replica_back", "replica": "second"' not in (made.folder / "gate.log").read_text().rpartition("gate.replica_away")[2]:
            await asyncio.sleep(0.1)
    await read_often(program, id, 5)


async def test_a_standby_that_became_a_primary_is_no_standby(followed: tuple[Rig, Cluster], program: Session) -> None:
    made, server = followed
    id = (await program.records.create(patient("Promoted"))).stored.id
    connection = await asyncpg.connect(**server.arguments())
    await connection.execute("select pg_promote()")
    await connection.close()
    await program.records.update({**patient("Promoted", "Anew"), "id": id})
    assert (await program.records.read("Patient", id)).version == 2
    async with asyncio.timeout(20):
        while "it is no standby of this database" not in (made.folder / "gate.log").read_text():
            await asyncio.sleep(0.1)
