"""While the database is away: brokers reconnect and place from what they last knew, and afterwards nobody has two sessions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from farm_cast import Farm
from postgres import Cluster

from cloister.base.clock import system_clock
from cloister.base.database import open_pool
from cloister.base.errors import Busy
from cloister.base.migrations import migrate
from cloister.base.wire import Peer
from cloister.farm import Broker, EstateStore, LocalCache, migrations
from cloister.farm.licences import Pool

NAMES = [f"s{n}" for n in range(5)]


class Trust:
    """Three brokers, each with its own connections and copy, over one database that stops and starts."""

    def __init__(self, database: Cluster, pools: list[Any]) -> None:
        self.database = database
        self.farm = Farm(EstateStore(pools[0]), NAMES, slots=20)
        self.caches = [LocalCache(EstateStore(pool), broker=f"b{n}", clock=system_clock, end=self.end) for n, pool in enumerate(pools)]
        self.brokers = [
            self.farm.broker(f"b{n}", store=cache, patience_seconds=0.5, view_seconds=0.05) for n, cache in enumerate(self.caches)
        ]

    async def end(self, server: str, session: str, why: str) -> None:
        self.farm.agents[server].sessions.pop(session, None)

    async def tend(self) -> None:
        for broker in self.brokers:
            await broker.tend()

    async def rows(self) -> list[Any]:
        connection = await asyncpg.connect(**self.database.arguments())
        rows = await connection.fetch("select id, person, server, slot, epoch, state, why from estate.session where state <> 'ended'")
        await connection.close()
        return list(rows)

    async def assert_one_each(self) -> None:
        """Nobody has two sessions, neither in the database nor on the servers, and both know of the same ones."""
        rows = await self.rows()
        really = {name: agent.sessions for name, agent in self.farm.agents.items()}
        assert {row["id"] for row in rows} == {session for sessions in really.values() for session in sessions}
        assert max(Counter(row["person"] for row in rows).values()) == 1


@pytest_asyncio.fixture
async def trust(database: Cluster) -> AsyncIterator[Trust]:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    await migrate(connection, migrations())
    await connection.execute("alter role cloister_estate login")
    await connection.close()
    pools = [await open_pool(database.arguments(user="cloister_estate"), smallest=1, largest=3) for _ in range(3)]
    trust = Trust(database, pools)
    await trust.farm.report()
    await trust.tend()
    yield trust
    for pool in pools:
        pool.terminate()


async def back(trust: Trust) -> None:
    """Each broker finds out by itself, within seconds."""
    for cache, broker in zip(trust.caches, trust.brokers, strict=True):
        for _ in range(80):
            await broker.tend()
            if not cache.away:
                break
            await asyncio.sleep(0.1)
        assert not cache.away


async def test_people_come_back_and_come_in_while_the_database_is_away(trust: Trust) -> None:
    before = [await trust.brokers[n % 3].start_session(f"old-{n}", "nurse", "person") for n in range(6)]
    await trust.tend()
    trust.database.stop()
    try:
        again = [await trust.brokers[(n + 1) % 3].start_session(f"old-{n}", "nurse", "person") for n in range(6)]
        assert [one.session for one in again] == [one.session for one in before]
        assert all(one.reconnected for one in again)
        new = await asyncio.gather(*(trust.brokers[n % 3].start_session(f"new-{n}", "nurse", "person") for n in range(9)))
        assert len({one.session for one in new}) == 9
        # The same person at every broker: they meet at one server, whose agent knows.
        thrice = [await broker.start_session("adele", "nurse", "person") for broker in trust.brokers]
        assert len({one.session for one in thrice}) == 1
        assert [one.reconnected for one in thrice] == [False, True, True]
        assert await trust.brokers[1].renew(again[0].session, 2)
        heard = await trust.brokers[0].answer(
            Peer(100, 0, 0),
            "hello",
            {"server": "s1", "slots": 20, "sessions": list(trust.farm.agents["s1"].sessions.values()), "token": "right"},
        )
        assert heard["end"] == []
        assert await trust.brokers[0].answer(Peer(100, 0, 0), "heartbeat", {"load": 0.1, "free": 9}) == {"known": True}
    finally:
        trust.database.start()
    await back(trust)
    await trust.assert_one_each()
    assert len(await trust.rows()) == 16
    assert {row["epoch"] for row in await trust.rows() if row["person"].startswith("old")} == {2}


async def test_one_of_three_brokers_dies_in_the_outage_and_what_it_started_is_taken_over(trust: Trust) -> None:
    trust.database.stop()
    try:
        started = [await trust.brokers[0].start_session(f"p{n}", "nurse", "person") for n in range(5)]
        other = await trust.brokers[1].start_session("bruno", "nurse", "person")
    finally:
        trust.database.start()
    trust.caches.pop(0)  # killed: its memory is gone with it
    trust.brokers.pop(0)
    await back(trust)
    for number, (name, agent) in enumerate(trust.farm.agents.items()):
        said = {"server": name, "slots": 20, "sessions": list(agent.sessions.values()), "token": "right"}
        assert (await trust.brokers[0].answer(Peer(200 + number, 0, 0), "hello", said))["end"] == []
    await trust.assert_one_each()
    assert {row["id"] for row in await trust.rows()} == {one.session for one in [*started, other]}
    assert (await trust.brokers[0].start_session("p3", "nurse", "person")).session == started[3].session


async def test_a_second_session_that_brokers_could_not_prevent_is_ended_afterwards(trust: Trust) -> None:
    """Two brokers that saw different servers: each starts the person, and the database decides."""
    trust.database.stop()
    try:
        one = await trust.brokers[0].start_session("adele", "nurse", "person")
        held = next(name for name, agent in trust.farm.agents.items() if one.session in agent.sessions)
        trust.brokers[1]._placing.view.stale()
        trust.caches[1]._copy.heard -= {held}
        trust.caches[1]._copy.seen_servers.pop(held)
        two = await trust.brokers[1].start_session("adele", "nurse", "person")
        assert one.session != two.session
    finally:
        trust.database.start()
    await back(trust)
    await trust.assert_one_each()
    assert [row["person"] for row in await trust.rows()] == ["adele"]


async def test_without_the_database_licences_are_those_that_a_broker_keeps_and_none_is_handed_out_twice(trust: Trust) -> None:
    await trust.farm.store.set_pool(Pool(application="record", seats=40, outage=2))
    await trust.tend()
    trust.database.stop()
    came, refused = [], []
    try:
        for n in range(12):
            try:
                came.append(await trust.brokers[n % 3].start_session(f"p{n}", "nurse", "person"))
            except Busy as full:
                refused.append(full)
    finally:
        trust.database.start()
    assert (len(came), refused[0].reason) == (6, "licences")
    await back(trust)
    await trust.assert_one_each()
    connection = await asyncpg.connect(**trust.database.arguments())
    held = await connection.fetch("select session, number from estate.licence_seat where session is not null")
    await connection.close()
    assert {row["session"] for row in held} == {one.session for one in came}


async def test_a_broker_that_never_knew_anything_says_so(database: Cluster, trust: Trust) -> None:
    pool = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    fresh: Broker = trust.farm.broker("b9", store=LocalCache(EstateStore(pool), broker="b9", clock=system_clock, end=trust.end))
    database.stop()
    try:
        with pytest.raises(Exception) as told:  # noqa: PT011
            await fresh.start_session("adele", "nurse", "person")
        assert getattr(told.value, "reason", "") == "database"
    finally:
        database.start()
        pool.terminate()
