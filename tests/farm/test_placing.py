"""Starting sessions with several brokers: limits, the queue, a start whose broker died. In memory, and against real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from farm_cast import NOW, Farm
from postgres import Cluster, cluster

from cloister.base.database import open_pool
from cloister.base.errors import Busy, NotFound, Unavailable
from cloister.base.migrations import migrate
from cloister.farm import EstateStore, MemoryStore, SessionState, migrations
from cloister.farm.claims import Snapshot
from cloister.farm.groups import Application, ApplicationKind
from cloister.farm.licences import Pool
from cloister.farm.placement import ServerState
from cloister.farm.queue import Wait
from cloister.farm.store import Store
from cloister.farm.view import View

NAMES = [f"s{n}" for n in range(6)]


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture(params=["memory", "postgresql"])
async def farm(request: pytest.FixtureRequest, database: Cluster) -> AsyncIterator[Farm]:
    if request.param == "memory":
        yield await reported(MemoryStore())
        return
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    await migrate(connection, migrations())
    await connection.execute("alter role cloister_estate login")
    await connection.close()
    pool = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    yield await reported(EstateStore(pool))
    await pool.close()


async def reported(store: Store) -> Farm:
    farm = Farm(store, NAMES)
    await farm.report()
    return farm


async def test_three_brokers_spread_people_evenly(farm: Farm) -> None:
    brokers = [farm.broker(f"b{n}") for n in range(3)]
    for turn in range(3):
        await asyncio.gather(*(brokers[n % 3].start_session(f"p{turn}-{n}", "nurse", "person") for n in range(12)))
    assert len(set(farm.held)) == 36
    assert sorted(len(agent.sessions) for agent in farm.agents.values()) == [6] * 6
    assert all(agent.most_starting <= 4 for agent in farm.agents.values())


async def test_one_person_at_three_brokers_at_once_has_one_session(farm: Farm) -> None:
    for agent in farm.agents.values():
        agent.seconds = 0.05
    started = await asyncio.gather(*(farm.broker(f"b{n}").start_session("adele", "nurse", "person") for n in range(3)))
    assert len({one.session for one in started}) == 1
    assert sorted(one.reconnected for one in started) == [False, True, True]
    assert farm.held == ["adele"]


async def test_who_is_not_known_to_have_a_session_comes_back_to_it_all_the_same_even_when_no_server_takes_anybody(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker's copy is seconds old: what it does not know of, the claim does, and a refusal is not said before it was asked."""
    monkeypatch.setattr(farm.store, "nobody", lambda person: True)
    started = await farm.broker("b1").start_session("adele", "nurse", "person")
    again = await farm.broker("b2").start_session("adele", "nurse", "person")
    assert (again.session, again.reconnected) == (started.session, True)
    for name in NAMES:
        await farm.store.set_server_state(name, ServerState.READY, ServerState.DRAINING, "tonight")
    third = await farm.broker("b3", view_seconds=0).start_session("adele", "nurse", "person")
    assert (third.session, third.reconnected) == (started.session, True)
    with pytest.raises(Unavailable, match="draining"):
        await farm.broker("b3", view_seconds=0).start_session("bruno", "nurse", "person")


async def test_a_servers_tolerance_of_sign_ins_is_hard_with_any_number_of_brokers(farm: Farm) -> None:
    for name in NAMES[1:]:
        await farm.store.set_server_state(name, ServerState.READY, ServerState.DRAINING, "tonight")
    farm.agents["s0"].seconds = 0.03
    brokers = [farm.broker(f"b{n}") for n in range(3)]
    await asyncio.gather(*(brokers[n % 3].start_session(f"p{n}", "nurse", "person") for n in range(10)))
    assert 1 < farm.agents["s0"].most_starting <= 4
    assert len(farm.held) == 10


async def test_when_all_is_taken_people_wait_in_the_order_in_which_they_came(farm: Farm) -> None:
    for name in NAMES[1:]:
        await farm.store.set_server_state(name, ServerState.READY, ServerState.OFF, "")
    brokers = itertools.cycle([farm.broker(f"b{n}", patience_seconds=0, view_seconds=0) for n in range(3)])
    for n in range(10):
        await next(brokers).start_session(f"p{n}", "nurse", "person")
    waiting = []
    for person in ("adele", "bruno", "chloe"):
        with pytest.raises(Wait) as told:
            await next(brokers).start_session(person, "nurse", "person")
        waiting.append((told.value.place.place, told.value.place.of))
    assert waiting == [(1, 1), (2, 2), (3, 3)]
    assert told.value.reason == "slots"
    assert "1 full" in told.value.text
    assert "number 3 of 3" in told.value.text
    first = (await farm.store.live_of("p0"))[0]
    await next(brokers).end_session(first.id)
    await farm.store.set_state(first.id, (await one(farm, first.id)), SessionState.ENDED, "", now=farm.now)
    for person in ("chloe", "bruno", "a newcomer"):
        with pytest.raises(Wait):
            await next(brokers).start_session(person, "nurse", "person")
    assert not (await next(brokers).start_session("adele", "nurse", "person")).reconnected
    with pytest.raises(Wait) as told:
        await next(brokers).start_session("bruno", "nurse", "person")
    assert (told.value.place.place, told.value.place.of) == (1, 3)


async def one(farm: Farm, session: str) -> object:
    row = await farm.store.session(session)
    assert row is not None
    return row.state


async def test_a_short_wait_is_no_refusal(farm: Farm) -> None:
    for name in NAMES[1:]:
        await farm.store.set_server_state(name, ServerState.READY, ServerState.OFF, "")
    broker = farm.broker()
    for n in range(10):
        await broker.start_session(f"p{n}", "nurse", "person")
    later = asyncio.create_task(broker.start_session("adele", "nurse", "person"))
    await asyncio.sleep(0.1)
    row = (await farm.store.live_of("p3"))[0]
    del farm.agents["s0"].sessions[row.id]
    await farm.store.set_state(row.id, row.state, SessionState.ENDED, "", now=farm.now)
    assert (await asyncio.wait_for(later, 3)).slot is not None


async def test_a_server_that_does_not_answer_costs_nobody_a_session(farm: Farm) -> None:
    for name in NAMES[:2]:
        farm.agents[name].broken = Unavailable("The agent does not answer.", reason="no-answer")
    broker = farm.broker()
    started = [await broker.start_session(f"p{n}", "nurse", "person") for n in range(8)]
    assert len({one.session for one in started}) == len(farm.held) == 8


async def test_an_application_has_its_own_session_beside_the_record_and_its_own_bounds(farm: Farm) -> None:
    await farm.store.set_application(Application(id="editor", name="Editor", kind=ApplicationKind.WINDOW, sessions_max=2))
    group = (await farm.store.groups())[0]
    broker = farm.broker(patience_seconds=0)
    with pytest.raises(Unavailable) as refused:
        await broker.start_session("adele", "nurse", "person", application="editor")
    assert refused.value.reason == "not-published"
    with pytest.raises(NotFound):
        await broker.start_session("adele", "nurse", "person", application="nothing")
    await farm.store.set_group(replace(group, applications=("record", "editor")))
    broker = farm.broker("b2", patience_seconds=0)
    record = await broker.start_session("adele", "nurse", "person")
    farm.agents[NAMES[0]].sessions.clear()
    for agent in farm.agents.values():
        agent.sessions.clear()
    editor = await broker.start_session("adele", "nurse", "person", application="editor")
    assert editor.session != record.session
    await broker.start_session("bruno", "nurse", "person", application="editor")
    with pytest.raises(Busy) as full:
        await broker.start_session("chloe", "nurse", "person", application="editor")
    assert full.value.reason == "application-sessions"
    assert (await broker.start_session("adele", "nurse", "person", application="editor")).reconnected


async def test_why_this_server_is_answered_later(farm: Farm) -> None:
    await farm.store.set_server_state("s3", ServerState.READY, ServerState.DRAINING, "tonight")
    await farm.store.set_pool(Pool(application="record", seats=5))
    broker = farm.broker("b7")
    started = await broker.start_session("adele", "nurse", "person")
    (row,) = await farm.store.live_of("adele")
    lines = "\n".join(await broker.why(started.session))
    assert f"Server {row.server}, for 'record', chosen by b7." in lines
    assert "<- chosen" in lines
    assert "Of 6 servers that offer it: 1 draining." in lines
    assert "licence number" in lines
    with pytest.raises(NotFound):
        await broker.why("nobody's")


async def test_nothing_is_placed_on_a_server_that_was_drained_this_moment(farm: Farm) -> None:
    broker = farm.broker()
    await broker.start_session("p", "nurse", "person")  # so that the broker has a view of a moment ago
    for name in NAMES[:5]:
        await farm.store.set_server_state(name, ServerState.READY, ServerState.DRAINING, "")
    for n in range(3):
        await broker.start_session(f"p{n}", "nurse", "person")
    on = [row.server for n in range(3) for row in await farm.store.live_of(f"p{n}")]
    assert on == ["s5", "s5", "s5"]


class SlowStore(MemoryStore):
    """Each snapshot takes a tenth of a second of the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.read = 0

    async def snapshot(self, *, now: datetime) -> Snapshot:
        self.read += 1
        self.now += timedelta(seconds=0.1)
        return await super().snapshot(now=now)


async def test_a_broker_rests_between_two_reads_of_the_farm_twenty_times_as_long_as_one_took() -> None:
    store = SlowStore()
    view = View(store, lambda: store.now, salt="b1", seconds=0.5)
    await view.usable()
    for _ in range(59):  # 5.9 s of a storm
        store.now += timedelta(seconds=0.1)
        await view.usable()
        await asyncio.sleep(0)
    assert store.read == 3
    store.now += timedelta(seconds=0.6)
    await view.fresh()  # who would be refused does not go by what is old
    assert store.read == 4
