"""Licences: counted, kept for emergencies, stretched for a while, and never handed out twice, whatever brokers and clocks do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from farm_cast import Farm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from postgres import Cluster

from cloister.base.errors import Busy, CloisterError, Invalid, NotFound
from cloister.base.migrations import migrate
from cloister.farm import Broker, EstateStore, MemoryStore, SessionState, migrations
from cloister.farm.licence_forecast import forecast
from cloister.farm.licences import Pool, Seat, SeatKind, checked, take, usage
from cloister.farm.placement import ServerState
from cloister.farm.queue import Wait

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
POOL = Pool(application="record", seats=4, reserve=1, grace=2, grace_days=10, reserved_for=("doctor", "10.20.0.0/16"))
NAMES = ["s0", "s1"]


def held(*numbers: int) -> dict[int, Seat]:
    return {number: Seat(number, f"session-{number}", NOW) for number in numbers}


# --- the pure model -------------------------------------------------------------------------------------


def test_the_reserve_is_for_emergencies_and_the_grace_for_a_while() -> None:
    assert take(POOL, held(1, 2), emergency=False, now=NOW) == 3
    assert take(POOL, held(1, 2, 3), emergency=True, now=NOW) == 4
    assert take(POOL, held(1, 2, 3), emergency=False, now=NOW) == 5
    over = Pool(**{**asdict(POOL), "grace_since": NOW - timedelta(days=10)})
    with pytest.raises(Busy) as refused:
        take(over, held(1, 2, 3, 5), emergency=False, now=NOW)
    assert refused.value.reason == "licences"
    assert "3 of 3 are in use; 0 of 1 of the emergency reserve, which is not for you; 1 of 2 beyond the licence" in refused.value.text
    assert "10 days are over" in refused.value.text


def asdict(pool: Pool) -> dict[str, Any]:
    return {name: getattr(pool, name) for name in Pool.__slots__}


@given(
    st.integers(0, 12), st.integers(0, 12), st.integers(0, 6), st.sets(st.integers(1, 30), max_size=25), st.booleans(), st.integers(0, 40)
)
def test_a_seat_that_is_taken_was_free_and_of_the_right_kind(
    seats: int, reserve: int, grace: int, taken: set[int], emergency: bool, after: int
) -> None:
    pool = Pool(application="record", seats=seats, reserve=min(reserve, seats), grace=grace, grace_days=3 if grace else 0)
    may = {SeatKind.ORDINARY, SeatKind.GRACE} | ({SeatKind.RESERVE} if emergency else set())
    free = [number for number in range(1, seats + grace + 1) if number not in taken and pool.kind(number) in may]
    try:
        number = take(pool, held(*taken), emergency=emergency, now=NOW, after=after)
    except Busy:
        assert not free
    else:
        assert number in free
        assert pool.kind(number) is pool.kind(free[0])  # ordinary ones first
    assert usage(pool, held(*taken).values()).used == len(taken)


@pytest.mark.parametrize("wrong", [{"seats": -1}, {"reserve": 5}, {"grace": 1, "grace_days": 0}, {"grace_days": 400}, {"outage": 9}])
def test_a_pool_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Invalid) as refused:
        checked(Pool(**{**asdict(POOL), **wrong}))
    assert refused.value.hint


# --- three brokers, memory and PostgreSQL ---------------------------------------------------------------


class Brokers(RuleBasedStateMachine):
    """Any order of starts, ends, crashes and changed counts, by three brokers."""

    loop: asyncio.AbstractEventLoop
    connection: Any = None
    skews = (timedelta(), timedelta(), timedelta())  # a store in memory has no other clock than its broker's

    @initialize()
    def begin(self) -> None:
        self.farm = self.do(self.new_farm())
        self.brokers = [
            self.farm.broker(f"b{n}", patience_seconds=0, view_seconds=0, clock=self.skewed(skew)) for n, skew in enumerate(self.skews)
        ]
        self.pool = POOL
        self.do(self.farm.store.set_pool(self.pool))
        self.people = 0

    @staticmethod
    def skewed(skew: timedelta) -> Any:
        return lambda: datetime.now(UTC) + skew

    async def new_farm(self) -> Farm:
        farm = Farm(MemoryStore(), NAMES, slots=30)
        await farm.report()
        return farm

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def start(self, broker: Broker, person: str, role: str, where: str = "") -> bool:
        try:
            await broker.start_session(person, role, "person", where=where)
        except Wait:
            return False
        return True

    @rule(number=st.integers(0, 2), emergency=st.booleans())
    def one_starts(self, number: int, emergency: bool) -> None:
        self.people += 1
        role, where = ("doctor", "") if emergency and self.people % 2 else ("nurse", "10.20.3.4" if emergency else "192.0.2.1")
        before = self.do(self.used())
        could = self.could_start(before, emergency=emergency)
        waiting = self.do(self.waits())
        began = self.do(self.start(self.brokers[number], f"p{self.people}", role, where))
        assert not began or could
        assert began or not could or waiting

    @rule()
    def six_start_at_once(self) -> None:
        self.people += 6
        names = [f"p{self.people - n}" for n in range(6)]
        self.do(self.all_at_once([self.start(self.brokers[n % 3], name, "nurse") for n, name in enumerate(names)]))

    async def all_at_once(self, work: list[Any]) -> None:
        await asyncio.gather(*work)

    @rule(which=st.integers(0, 50))
    def one_ends(self, which: int) -> None:
        rows = self.do(self.farm.store.sessions())
        if rows:
            row = rows[which % len(rows)]
            self.farm.agents[row.server].sessions.pop(row.id, None)
            self.do(self.farm.store.set_state(row.id, row.state, SessionState.ENDED, "signed-out", now=self.farm.now))

    @rule(number=st.integers(0, 2))
    def one_tends(self, number: int) -> None:
        self.do(self.farm.report())
        self.do(self.brokers[number].tend())

    @rule(number=st.integers(0, 2))
    def a_broker_is_killed_and_comes_back(self, number: int) -> None:
        self.brokers[number] = self.farm.broker(f"b{number}", patience_seconds=0, view_seconds=0)

    @rule(seats=st.integers(0, 6), grace=st.integers(0, 2))
    def the_count_changes(self, seats: int, grace: int) -> None:
        self.pool = Pool(**{**asdict(POOL), "seats": seats, "reserve": min(1, seats), "grace": grace, "grace_days": 10 if grace else 0})
        self.do(self.farm.store.set_pool(self.pool))

    @rule()
    def those_who_wait_give_up(self) -> None:
        self.do(self.forget_waiting())

    async def forget_waiting(self) -> None:
        self.farm.store.queue.clear()  # type: ignore[attr-defined]

    async def waits(self) -> bool:
        return bool(self.farm.store.queue)  # type: ignore[attr-defined]

    async def used(self) -> Any:
        return (await self.farm.store.snapshot(now=self.farm.now)).pools["record"]

    def could_start(self, now: Any, *, emergency: bool) -> bool:
        return bool(now.free(emergency=emergency, now=self.farm.now))

    async def seats(self) -> dict[str, int]:
        return {seat.holder: seat.number for seat in self.farm.store.seats["record"].values()}  # type: ignore[attr-defined]

    @invariant()
    def nobody_has_anothers_seat(self) -> None:
        if not hasattr(self, "pool"):
            return
        seats = self.do(self.seats())
        live = {row.id for row in self.do(self.farm.store.sessions())}
        assert len(set(seats.values())) == len(seats)
        assert set(seats) <= live
        now = self.do(self.used())
        assert now.used.used == len(seats)
        within = [number for number in seats.values() if number <= self.pool.seats + self.pool.grace]
        assert len(within) <= self.pool.seats + self.pool.grace


class PostgresBrokers(Brokers):
    """The same against the database, by brokers whose clocks differ by minutes."""

    skews = (timedelta(minutes=-7), timedelta(), timedelta(minutes=9))

    async def new_farm(self) -> Farm:
        pool = PostgresBrokers.connection
        await pool.execute(
            "truncate estate.session, estate.waiting, estate.licence_seat, estate.licence_pool, estate.refusal, estate.server cascade"
        )
        farm = Farm(EstateStore(pool), NAMES, slots=30)
        await farm.report()
        return farm

    async def forget_waiting(self) -> None:
        await self.connection.execute("delete from estate.waiting")

    async def waits(self) -> bool:
        return bool(await self.connection.fetchval("select exists (select from estate.waiting)"))

    async def seats(self) -> dict[str, int]:
        rows = await self.connection.fetch("select session, number from estate.licence_seat where session is not null")
        assert len({row["session"] for row in rows}) == len(rows)
        return {row["session"]: row["number"] for row in rows}


def run_machine(machine: type[Brokers], examples: int) -> None:
    with asyncio.Runner() as runner:
        machine.loop = runner.get_loop()
        options = settings(max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(machine, settings=options)


def test_no_licence_is_handed_out_twice_in_the_model() -> None:
    run_machine(Brokers, 40)


async def schema(database: Cluster) -> None:
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate cascade; drop table if exists public.migration")
    await migrate(connection, migrations())
    await connection.execute("alter role cloister_estate login")
    await connection.close()


def test_no_licence_is_handed_out_twice_by_three_brokers_whose_clocks_differ(database: Cluster) -> None:
    with asyncio.Runner() as runner:
        PostgresBrokers.loop = runner.get_loop()
        runner.run(schema(database))
        PostgresBrokers.connection = runner.run(_pool(database))
        options = settings(max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(PostgresBrokers, settings=options)
        runner.run(PostgresBrokers.connection.close())


async def _pool(database: Cluster) -> Any:
    return await asyncpg.create_pool(min_size=6, max_size=6, **database.arguments())


# --- leases ---------------------------------------------------------------------------------------------


async def test_a_lease_is_renewed_by_what_servers_report_and_over_when_nobody_vouches_for_it(database: Cluster) -> None:
    await schema(database)
    pool = await _pool(database)
    farm = Farm(EstateStore(pool), NAMES)
    await farm.report()
    await farm.store.set_pool(POOL)
    broker = farm.broker("b1", patience_seconds=0)
    await broker.start_session("adele", "nurse", "person")
    await farm.store.set_server_state("s0", ServerState.READY, ServerState.READY, "")
    (row,) = await farm.store.live_of("adele")
    # A broker that came a moment ago judges nobody; one that has had the database for long does.
    await pool.execute("update estate.licence_seat set expires = now() - interval '1 second' where session is not null")
    await pool.execute("update estate.server set seen = now() - interval '20 minutes'")
    await broker.tend()
    assert (await farm.store.session(row.id)).state is not SessionState.ENDED  # type: ignore[union-attr]
    # The server reports after all: the lease goes on, for a steady broker too.
    await pool.execute("update estate.broker set since = now() - interval '10 minutes'")
    await farm.report()
    await broker.tend()
    assert await pool.fetchval("select expires > now() + interval '10 minutes' from estate.licence_seat where session is not null")
    # It does not.
    await pool.execute("update estate.licence_seat set expires = now() - interval '1 second' where session is not null")
    await pool.execute("update estate.server set seen = now() - interval '20 minutes'")
    await broker.tend()
    ended = await farm.store.session(row.id)
    assert ended is not None
    assert (ended.state, ended.why) == (SessionState.ENDED, "lease-over")
    assert await pool.fetchval("select count(*) from estate.licence_seat where session is not null") == 0
    await pool.close()


async def test_a_start_whose_broker_died_is_ended_by_another_and_its_licence_comes_back(database: Cluster) -> None:
    await schema(database)
    pool = await _pool(database)
    farm = Farm(EstateStore(pool), NAMES)
    await farm.report()
    await farm.store.set_pool(Pool(application="record", seats=1))
    for agent in farm.agents.values():
        agent.seconds = 60
    dying = asyncio.create_task(farm.broker("b1").start_session("adele", "nurse", "person"))
    while not await farm.store.live_of("adele"):
        await asyncio.sleep(0.01)
    dying.cancel()
    await pool.execute("update estate.session set started = now() - interval '40 seconds'")
    other = farm.broker("b2", patience_seconds=0)
    await other.tend()
    await pool.execute("update estate.broker set since = now() - interval '10 minutes'")
    await other.tend()
    for agent in farm.agents.values():
        agent.seconds = 0
    assert not (await other.start_session("bruno", "nurse", "person")).reconnected
    await pool.close()


async def test_use_is_sampled_and_shown_by_the_hour(database: Cluster) -> None:
    await schema(database)
    pool = await _pool(database)
    farm = Farm(EstateStore(pool), NAMES)
    await farm.report()
    await farm.store.set_pool(POOL)
    broker = farm.broker("b1")
    for n in range(3):
        await broker.start_session(f"p{n}", "nurse", "person")
    await broker.tend()
    (row,) = await farm.store.live_of("p1")
    await farm.store.set_state(row.id, row.state, SessionState.ENDED, "", now=farm.now)
    await broker.tend()
    assert dict(await pool.fetchrow("select used, seats, grace from estate.licence_usage")) == {"used": 3, "seats": 4, "grace": 0}
    await pool.close()


# --- forecast -------------------------------------------------------------------------------------------


def weeks(count: int, growth: float = 0.0) -> list[tuple[datetime, int]]:
    """Busy on weekdays at eight, empty at night; every five minutes up to NOW."""
    start = NOW - timedelta(weeks=count)
    found = []
    for n in range(count * 7 * 24):
        at = start + timedelta(hours=n)
        level = 1000 * (1 + growth) ** (n / 168)
        found.append((at, round(level * (1.0 if at.hour == 8 else 0.5 if 6 < at.hour < 18 else 0.1) * (0.3 if at.weekday() > 4 else 1))))
    return found


def test_a_steady_hospital_is_foretold_exactly() -> None:
    found = forecast(weeks(6), seats=1200, now=NOW)
    assert (found.peak, found.at.hour, found.margin, found.full, found.perhaps_full) == (1000, 8, 0, None, None)
    assert found.at.weekday() < 5


def test_growth_is_seen_and_says_when_the_licences_are_short() -> None:
    found = forecast(weeks(6, growth=0.03), seats=1250, now=NOW)
    assert 0.02 < found.growth < 0.04
    assert found.full is not None
    assert timedelta(days=1) < found.full - NOW < timedelta(days=28)
    assert found.margin < 40


def test_without_two_weeks_of_history_nothing_is_foretold() -> None:
    for known in ([], weeks(1)):
        with pytest.raises(NotFound) as refused:
            forecast(known, seats=10, now=NOW)
        assert "needs 14" in refused.value.text


def test_a_refusal_for_want_of_licences_is_no_error_of_the_server() -> None:
    with pytest.raises(CloisterError) as refused:
        take(Pool(application="editor", seats=0), {}, emergency=False, now=NOW)
    assert isinstance(refused.value, Busy)
