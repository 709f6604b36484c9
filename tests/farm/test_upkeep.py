"""Upkeep in a real PostgreSQL, by a clock of the test: drains, deadlines, health, windows, groups in turn, and two controllers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from postgres import Cluster, cluster

from cloister.base.database import open_pool
from cloister.base.errors import Conflict, Unavailable
from cloister.base.migrations import migrate
from cloister.farm import EstateStore, Server, Session, SessionState, migrations
from cloister.farm.lease import Lease
from cloister.farm.maintenance.keeper import Upkeep
from cloister.farm.maintenance.store import Kept, Rolling, UpkeepStore
from cloister.farm.maintenance.windows import Window
from cloister.farm.placement import ServerState, SessionKind, Wanted
from cloister.farm.ranking import Publishing, place

BEGIN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
WELL: dict[str, float] = {"spawns_failed": 0, "disk_free": 0.5, "gate_away": 0.0, "zygote_away": 0.0}


class Farm:
    """Servers whose agents report when the test says so, people who are told and ended, machines that start anew."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.now, self.pool = BEGIN, pool
        self.estate, self.store = EstateStore(pool), UpkeepStore(pool)
        self.told: list[tuple[str, tuple[str, ...], str]] = []
        self.ended: list[tuple[str, str]] = []
        self.restarted: list[str] = []
        self.upkeep = self.controller()

    def controller(self) -> Upkeep:
        return Upkeep(store=self.store, people=self, restarts=self, now=self.clock)

    async def clock(self) -> datetime:
        return self.now

    async def tell(self, server: str, sessions: Sequence[str], text: Mapping[str, str]) -> None:
        self.told.append((server, tuple(sessions), text["en"]))

    async def end(self, server: str, sessions: Sequence[str], why: str) -> None:
        for session in sessions:
            row = await self.estate.session(session)
            assert row is not None
            await self.estate.set_state(session, row.state, SessionState.ENDED, why, now=self.now)
            self.ended.append((session, why))

    async def restart(self, server: str) -> bool:
        self.restarted.append(server)
        return True

    async def report(self, *names: str, hello: bool = False, **facts: float) -> None:
        for name in names:
            if hello:
                await self.estate.set_server(
                    Server(id=name, slots=4, free=4, state=ServerState.READY, load=0.1, missing=(), seen=self.now, groups=("ward",))
                )
            await self.pool.execute("update estate.server set seen = $2 where id = $1", name, self.now)
            await self.store.heard(name, {**WELL, **facts}, f"{name}/{self.now}" if hello else "", now=self.now)

    async def sit(self, name: str, server: str, state: SessionState = SessionState.ACTIVE) -> None:
        await self.estate.add_session(
            Session(
                id=name, person=name, role="nurse", kind=SessionKind.PERSON, label="", server=server, slot=None, epoch=1,
                state=SessionState.STARTING, why="", started=self.now, changed=self.now,
            )
        )  # fmt: skip
        await self.pool.execute("update estate.session set state = $2, changed = $3 where id = $1", name, str(state), self.now)

    async def one(self, name: str) -> Kept:
        return next(server for server in await self.store.servers() if server.id == name)

    async def states(self) -> dict[str, str]:
        return {server.id: str(server.state) for server in await self.store.servers()}

    async def later(self, seconds: float, *reporting: str, **facts: float) -> None:
        """Time goes on; these servers report, and upkeep looks."""
        self.now += timedelta(seconds=seconds)
        await self.report(*reporting, **facts)
        await self.upkeep.turn()

    async def place(self) -> str:
        publishing = Publishing({group.id: group for group in await self.estate.groups()})
        wanted = Wanted(person="somebody", role="nurse")
        return place(await self.estate.servers(), wanted=wanted, publishing=publishing, now=self.now)


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest_asyncio.fixture
async def pool(database: Cluster) -> AsyncIterator[asyncpg.Pool]:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    await migrate(connection, migrations())
    await connection.execute("insert into estate.delivery_group (id) values ('ward')")
    await connection.execute("alter role cloister_estate login")
    await connection.close()
    opened = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def farm(pool: asyncpg.Pool) -> Farm:
    made = Farm(pool)
    await made.report("a", "b", "c", hello=True)
    return made


async def drain(farm: Farm, server: str, deadline: float | None = None) -> None:
    until = farm.now + timedelta(seconds=deadline) if deadline else None
    await farm.upkeep.drain(await farm.one(server), "operator", "bob", deadline=until, message="New kernel.", now=farm.now)


async def test_nothing_is_placed_on_a_draining_server_and_its_people_are_told_and_let_go_at_the_deadline(farm: Farm) -> None:
    await farm.sit("adele", "a")
    await farm.sit("bruno", "a", SessionState.DISCONNECTED)
    await drain(farm, "a", 1800)
    await farm.later(5, "a", "b", "c")
    assert await farm.place() in ("b", "c")
    assert [(server, set(sessions)) for server, sessions, _ in farm.told] == [("a", {"adele", "bruno"})]
    assert "11:30" in farm.told[0][2]
    assert "New kernel." in farm.told[0][2]
    await farm.later(300, "a", "b", "c")
    assert farm.ended == [("bruno", "maintenance")], "nobody looked at it"
    await farm.later(1200, "a", "b", "c")
    assert len(farm.ended) == 1
    assert len(farm.told) == 1, "once is enough"
    await farm.later(400, "a", "b", "c")
    assert farm.ended[1:] == [("adele", "maintenance")]
    assert (await farm.states())["a"] == "draining"


async def test_undrain_gives_a_server_back_when_its_last_cause_is_gone(farm: Farm) -> None:
    await drain(farm, "a")
    await farm.upkeep.drain(await farm.one("a"), "power", "planner", now=farm.now)
    await farm.upkeep.undrain(await farm.one("a"), "power")
    assert (await farm.states())["a"] == "draining"
    await farm.upkeep.undrain(await farm.one("a"))
    assert (await farm.states())["a"] == "ready"


async def test_a_drain_outlives_the_agents_restart_and_the_controllers(farm: Farm) -> None:
    await drain(farm, "a")
    await farm.report("a", hello=True)
    farm.upkeep = farm.controller()
    await farm.later(5, "a", "b", "c")
    assert (await farm.states())["a"] == "draining"


async def test_a_server_that_fails_is_taken_out_says_why_and_comes_back_by_itself(farm: Farm) -> None:
    await farm.later(1, "a", "b", "c")
    await farm.report("b", "c")
    await farm.later(1, "a", disk_free=0.01)
    ill = await farm.one("a")
    assert (ill.state, ill.why) == (ServerState.UNHEALTHY, "its disk is full; it comes back by itself")
    assert await farm.place() in ("b", "c")
    await farm.later(1, "a", "b", "c")
    assert (await farm.one("a")).state is ServerState.UNHEALTHY, "not at once"
    for _ in range(31):
        await farm.later(10, "a", "b", "c")
    assert (await farm.one("a")).state is ServerState.READY


async def test_a_server_on_which_sessions_fail_waits_for_a_person(farm: Farm) -> None:
    await farm.later(1, "a", spawns_failed=3)
    for _ in range(40):
        await farm.later(10, "a", "b", "c")
    ill = await farm.one("a")
    assert ill.state is ServerState.UNHEALTHY
    assert "undrain it when that is mended" in ill.why
    await farm.upkeep.undrain(ill)
    await farm.later(1, "a", "b", "c")
    assert (await farm.one("a")).state is ServerState.READY


async def test_a_drained_server_that_fell_ill_is_drained_again_when_it_is_well(farm: Farm) -> None:
    await drain(farm, "a")
    await farm.later(1, "a", "b", "c")
    await farm.later(1, "a", gate_away=60.0)
    assert (await farm.states())["a"] == "unhealthy"
    for _ in range(4):
        await farm.later(10, "a", "b", "c")
    assert (await farm.states())["a"] == "draining"


async def test_silence_counts_only_while_somebody_listened(farm: Farm) -> None:
    farm.now += timedelta(hours=9)  # no controller ran
    await farm.upkeep.turn()
    assert set((await farm.states()).values()) == {"ready"}
    await farm.later(21, "b", "c")
    assert await farm.states() == {"a": "unhealthy", "b": "ready", "c": "ready"}
    farm.upkeep.missed()
    await farm.later(60)
    assert (await farm.states())["b"] == "ready"


async def through(farm: Farm, most: int) -> None:
    """Let a maintenance run to its end: what is restarted reports anew after half a minute."""
    for _ in range(60):
        states = await farm.states()
        await farm.later(10, *[name for name in "abc" if states[name] != "maintenance"])
        states = await farm.states()
        assert sum(state != "ready" for state in states.values()) <= most
        if farm.restarted and states[farm.restarted[-1]] == "maintenance":
            await farm.report(farm.restarted[-1], hello=True)
        if not await farm.store.rollings():
            return
    raise AssertionError(await farm.states())


async def test_a_group_goes_in_turn_one_server_after_the_other(farm: Farm) -> None:
    await farm.sit("adele", "a")
    rolling = Rolling(id="r", group="ward", percent=40, deadline=60, message="", restart=True, by_whom="bob", began=farm.now)
    await farm.store.roll(rolling)
    with pytest.raises(Conflict):
        await farm.store.roll(Rolling(id="r2", group="ward", percent=90, deadline=0, message="", restart=True, by_whom="x", began=farm.now))
    await through(farm, most=1)
    assert farm.restarted == ["b", "c", "a"], "the emptiest first"
    assert farm.ended == [("adele", "maintenance")]
    assert set((await farm.states()).values()) == {"ready"}
    assert {str(turn) for turn, _ in (await farm.store.members("r")).values()} == {"done"}


async def test_a_window_opens_by_itself_and_once(farm: Farm) -> None:
    window = Window(id="w", group="ward", days=("tue",), start=10 * 60 + 1, minutes=60, zone="UTC", percent=50, deadline=60)
    await farm.store.put_window(window)
    await farm.later(5, "a", "b", "c")
    assert not await farm.store.rollings()
    await farm.later(60, "a", "b", "c")
    assert [one.by_whom for one in await farm.store.rollings()] == ["window w"]
    await through(farm, most=1)
    await farm.later(60, "a", "b", "c")
    assert not await farm.store.rollings()


async def test_one_controller_acts_and_another_takes_over(pool: asyncpg.Pool) -> None:
    first, second = Lease(pool, "upkeep", "one", seconds=1), Lease(pool, "upkeep", "two", seconds=1)
    assert await first.held()
    assert not await second.held()
    assert await first.held(), "it keeps what it has"
    await pool.execute("update estate.lease set until = now() - interval '1 second'")  # it fell silent
    assert await second.held()
    assert not await first.held(), "it learns that it lost it"
    await second.leave()
    assert await first.held()


async def test_without_the_database_upkeep_says_so(farm: Farm, pool: asyncpg.Pool) -> None:
    await pool.close()
    with pytest.raises(Unavailable):
        await farm.upkeep.turn()
