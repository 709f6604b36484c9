"""The estate's store in a real PostgreSQL: it promises what the one in memory promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from postgres import Cluster

from cloister.base.database import open_pool
from cloister.base.errors import Conflict, Unavailable
from cloister.base.migrations import migrate
from cloister.farm import EstateStore, Server, Session, SessionState, migrations
from cloister.farm.groups import EVERYBODY, THE_RECORD, Application, ApplicationKind, Group
from cloister.farm.placement import ServerState, SessionKind

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
ADELE = Session(
    id="s-1", person="adele", role="nurse", kind=SessionKind.PERSON, label="", server="s1", slot=None, epoch=1,
    state=SessionState.STARTING, why="", started=NOW, changed=NOW,
)  # fmt: skip
SERVER = Server(id="s1", slots=3, free=3, state=ServerState.READY, load=0.5, missing=("own user id: needs root",), seen=NOW)


@pytest_asyncio.fixture
async def store(database: Cluster) -> AsyncIterator[EstateStore]:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    assert await migrate(connection, migrations()) == len(migrations())
    await connection.execute("alter role cloister_estate login")
    await connection.close()
    pool = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    made = EstateStore(pool)
    await made.set_server(SERVER)
    yield made
    await pool.close()


async def servers(store: EstateStore) -> list[Server]:
    """As the store has them, but for when they were seen: that is of the database's clock."""
    return [replace(server, seen=NOW) for server in await store.servers()]


async def test_a_session_is_kept_as_it_was_said(store: EstateStore) -> None:
    await store.add_session(ADELE)
    assert await store.session("s-1") == ADELE
    assert await store.set_placed("s-1", "s1", 2, now=NOW)
    (placed,) = await store.live_of("adele")
    assert replace(placed, changed=NOW) == replace(ADELE, slot=2, state=SessionState.LOCKED)
    assert await store.session("nobody") is None


async def test_a_person_has_one_live_session_whatever_several_brokers_do(store: EstateStore) -> None:
    await store.add_session(ADELE)
    with pytest.raises(Conflict):
        await store.add_session(replace(ADELE, id="s-2"))
    assert await store.set_state("s-1", SessionState.STARTING, SessionState.ENDED, "lost", now=NOW)
    await store.add_session(replace(ADELE, id="s-2"))
    await store.add_session(replace(ADELE, id="s-3", person="lab", kind=SessionKind.PROGRAM, label="a"))
    await store.add_session(replace(ADELE, id="s-4", person="lab", kind=SessionKind.PROGRAM, label="b"))


async def test_states_and_epochs_change_only_from_what_was_known(store: EstateStore) -> None:
    await store.add_session(ADELE)
    assert not await store.set_state("s-1", SessionState.ACTIVE, SessionState.ENDED, "", now=NOW)
    assert await store.set_epoch("s-1", 1, 2, now=NOW)
    assert not await store.set_epoch("s-1", 1, 3, now=NOW)


async def test_a_slot_belongs_to_the_newest_session(store: EstateStore) -> None:
    await store.add_session(ADELE)
    await store.set_placed("s-1", "s1", 0, now=NOW)
    await store.add_session(replace(ADELE, id="s-2", person="bruno"))
    assert await store.set_placed("s-2", "s1", 0, now=NOW)
    first = await store.session("s-1")
    assert first is not None
    assert (first.state, first.why) == (SessionState.ENDED, "slot-reused")
    assert not await store.set_placed("s-1", "s1", 1, now=NOW)


async def test_a_servers_free_slots_count_what_is_only_starting(store: EstateStore) -> None:
    await store.add_session(ADELE)
    before = await servers(store)
    assert before == [replace(SERVER, free=2, starting=1)]
    assert await store.set_seen("s1", load=0.75, memory=0.5, free=1, now=NOW)
    assert await servers(store) == [replace(SERVER, free=2, starting=1, load=0.75, memory=0.5)]
    assert not await store.set_seen("s9", load=0, memory=0, free=0, now=NOW)


async def test_a_server_that_is_drained_stays_so_whatever_it_says(store: EstateStore) -> None:
    assert not await store.set_server_state("s1", ServerState.OFF, ServerState.DRAINING, "")
    assert await store.set_server_state("s1", ServerState.READY, ServerState.DRAINING, "maintenance tonight")
    await store.set_server(replace(SERVER, image="2026.12"))
    assert await servers(store) == [replace(SERVER, state=ServerState.DRAINING, why="maintenance tonight", image="2026.12")]
    assert await store.set_server_state("s1", ServerState.DRAINING, ServerState.OFF, "")
    await store.set_server(SERVER)
    assert await servers(store) == [SERVER]


async def test_applications_and_groups_are_kept_as_they_were_said(store: EstateStore) -> None:
    assert (await store.applications(), await store.groups()) == ([THE_RECORD], [EVERYBODY])
    editor = Application(id="editor", name="Editor", kind=ApplicationKind.WINDOW, settings={"command": ["mousepad"]}, sessions_max=5)
    night = Group(id="night", hospital="saint-roch", image="2026.12", applications=("editor", "record"), tolerance=2)
    await store.set_application(editor)
    await store.set_group(night)
    assert (await store.applications(), await store.groups()) == ([editor, THE_RECORD], [EVERYBODY, night])
    await store.add_session(ADELE)
    await store.add_session(replace(ADELE, id="s-2", application="editor"))
    with pytest.raises(Conflict):
        await store.add_session(replace(ADELE, id="s-3", application="editor"))


async def test_sessions_are_listed_by_server_without_the_ended_which_are_forgotten_later(store: EstateStore) -> None:
    await store.set_server(replace(SERVER, id="s2"))
    await store.add_session(ADELE)
    await store.add_session(replace(ADELE, id="s-2", person="bruno", server="s2"))
    assert [row.id for row in await store.sessions()] == ["s-1", "s-2"]
    assert [row.id for row in await store.sessions("s2")] == ["s-2"]
    await store.set_state("s-2", SessionState.STARTING, SessionState.ENDED, "lost", now=NOW)
    assert await store.sessions("s2") == []
    now = datetime.now(UTC)
    await store.forget_ended(now - timedelta(days=1))
    assert await store.session("s-2") is not None
    await store.forget_ended(now + timedelta(days=1))
    assert await store.session("s-2") is None


async def test_without_the_database_the_store_says_so(store: EstateStore, database: Cluster) -> None:
    database.stop()
    try:
        with pytest.raises(Unavailable) as refused:
            await store.sessions()
        assert refused.value.reason == "database"
    finally:
        database.start()


async def test_the_estate_reaches_no_other_schema(store: EstateStore, database: Cluster) -> None:
    administrator: Any = await asyncpg.connect(**database.arguments())
    await administrator.execute("create schema if not exists care; create table if not exists care.secret (a int)")
    estate = await asyncpg.connect(**database.arguments(user="cloister_estate"))
    for statement in ("select * from care.secret", "create table estate.more (a int)", "drop table estate.session"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await estate.execute(statement)
    await estate.close()
    await administrator.close()
