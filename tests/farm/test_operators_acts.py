"""Operators at work: whose sessions a selector means, who is told what, who is ended, how long sessions last; all on record first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from estate_cast import DAMIEN, House

from cloister.base.clock import iso
from cloister.base.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from cloister.farm import Server, Session, SessionState, came_by, explaining, licence_forecast, lost
from cloister.farm.operations import FARM, Operator
from cloister.farm.placement import ServerState, SessionKind, Wanted
from cloister.farm.policies import SessionPolicy, limits_of
from cloister.farm.power.plan import Plan
from cloister.farm.power.store import PowerStore
from cloister.farm.prelaunch import EXPECTED, KEPT_SECONDS, Prelaunch
from cloister.farm.upkeep import FarmUpkeep
from cloister.web.curves import curve
from cloister.web.operating import licence_curves, power_curves

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)


class Agents:
    """Two servers' agents; s3 is silent."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def of(self, server: str) -> Any:
        class One:
            async def call(_, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
                self.calls.append((server, method, arguments))
                if server == "s3":
                    raise Unavailable("The agent does not answer.", reason="no-answer")
                if method == "message":
                    return dict.fromkeys(arguments["sessions"], 1)
                return {"ended": len(arguments["sessions"] or ()) or 2, "killed": 0}

        return One()


class Acts(House):
    def __init__(self, pool: Any) -> None:
        self.agents = Agents()
        super().__init__(pool, agents=self.agents.of, now=NOW)

    async def state(self, session: str) -> str:
        row = await self.estate.session(session)
        assert row is not None
        return str(row.state)


@pytest_asyncio.fixture
async def house(pool: Any) -> Acts:
    made = Acts(pool)
    for number, (person, server) in enumerate((("adele", "s1"), ("bruno", "s2"))):
        await made.estate.set_server(Server(id=server, slots=9, free=9, state=ServerState.READY, load=0, missing=(), seen=NOW))
        await made.estate.add_session(session_of(person, server))
        await made.estate.set_placed(f"of-{person}", server, number, now=NOW)
        await came_by.CameBy(pool.fetchrow).note(f"of-{person}", f"gateway-{server}")
    return made


def session_of(person: str, server: str) -> Session:
    return Session(
        id=f"of-{person}", person=person, role="nurse", kind=SessionKind.PERSON, label="", server=server, slot=None, epoch=1,
        state=SessionState.STARTING, why="", started=NOW, changed=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ({"sessions": ["of-bruno"]}, ["of-bruno"]),
        ({"person": "adele.morel"}, ["of-adele"]),
        ({"ward": "w1"}, ["of-adele"]),
        ({"server": "s2"}, ["of-bruno"]),
        ({"hospital": "h2"}, ["of-bruno"]),
        ({"gateway": "gateway-s1"}, ["of-adele"]),
        ({"gateway": "gateway-s9"}, []),
        ({"all": True}, ["of-adele", "of-bruno"]),
        ({"ward": "w9"}, []),
    ],
)
async def test_a_selector_means_these_sessions_and_no_other(house: Acts, selector: dict[str, Any], meant: list[str]) -> None:
    assert sorted(row["id"] for row in await house.acts.store.chosen(**selector)) == meant


async def test_a_gateway_that_could_not_be_written_down_is_written_when_the_database_is_back(house: Acts) -> None:
    away = True

    async def fetchrow(query: str, *arguments: Any) -> Any:
        if away:
            raise Unavailable("The database does not answer.", reason="database")
        return await house.pool.fetchrow(query, *arguments)

    noting = came_by.CameBy(fetchrow)
    await noting.note("of-bruno", "gateway-c2")
    await noting.note("started-meanwhile", "gateway-c2")
    await noting.tell()
    away = False
    await noting.tell()
    assert [row["id"] for row in await house.acts.store.chosen(gateway="gateway-c2")] == ["of-bruno"]
    (row,) = await house.acts.store.search("of-bruno", False)
    assert set(row["gateways"].split(", ")) == {"gateway-s2", "gateway-c2"}


@pytest.mark.parametrize(("why", "told"), [("server-lost", True), ("died", True), ("signed-out", False)])
async def test_a_session_learns_whether_the_one_before_it_died(house: Acts, why: str, told: bool) -> None:
    ask, before = lost.asked(house.pool.fetchrow), await house.estate.session("of-adele")
    assert before is not None
    assert await ask(before, {}) == {}
    await house.estate.set_state("of-adele", before.state, SessionState.ENDED, why, now=NOW)
    after = replace(session_of("adele", "s2"), id="next-of-adele", started=NOW + timedelta(minutes=1))
    await house.estate.add_session(after)
    said = await ask(after, {})
    assert bool(said.pop("missed", "")) is told
    assert said == ({"server": "s1", "why": why, "began": iso(NOW)} if told else {})


async def test_nobody_ends_everybody_by_leaving_a_word_out(house: Acts) -> None:
    for words in ({}, {"all": False}, {"person": ""}, {"person": "adele", "all": True}):
        with pytest.raises(Invalid):
            await house.acts.answer(DAMIEN, "end", words)
    assert house.agents.calls == []


async def test_ending_a_ward_is_on_record_before_it_is_done_and_the_rows_say_why(house: Acts) -> None:
    house.audit_is_away = True
    with pytest.raises(Unavailable):
        await house.acts.answer(DAMIEN, "end", {"ward": "w1", "why": "evacuation"})
    assert (house.agents.calls, await house.state("of-adele")) == ([], "locked")
    house.audit_is_away = False
    done = await house.acts.answer(DAMIEN, "end", {"ward": "w1", "why": "evacuation"})
    assert (done["sessions"], done["ended"], done["silent"]) == (1, 1, [])
    assert house.agents.calls == [("s1", "end_many", {"sessions": ["of-adele"], "reason": "evacuation"})]
    assert (await house.state("of-adele"), await house.state("of-bruno")) == ("ending", "locked")
    assert [(note["actor"], note["action"], note["object"]) for note in house.notes] == [("damien", "end-sessions", "ward/w1")]


async def test_ending_all_asks_every_server_for_all_it_has_and_names_the_silent(house: Acts) -> None:
    await house.estate.set_server(Server(id="s3", slots=9, free=9, state=ServerState.READY, load=0, missing=(), seen=NOW))
    await house.estate.add_session(session_of("carla", "s3"))
    done = await house.acts.end({"all": True}, "drill", by=FARM)
    assert done["silent"] == ["s3"]
    assert sorted((server, arguments["sessions"]) for server, _, arguments in house.agents.calls) == [
        ("s1", None),
        ("s2", None),
        ("s3", None),
    ]


async def test_who_ends_everybody_stays_to_see_it_and_ends_the_own_session_by_signing_out(house: Acts) -> None:
    bruno = Operator(id="bruno", name="Bruno Petit", session="of-bruno")
    done = await house.acts.answer(bruno, "end", {"all": True})
    assert (done["sessions"], house.agents.calls) == (
        1,
        [("s1", "end_many", {"sessions": None, "reason": "operator", "spare": "of-bruno"})],
    )
    for words in ({"person": "bruno"}, {"server": "s2"}, {"sessions": ["of-bruno"]}):
        with pytest.raises(Conflict):
            await house.acts.answer(bruno, "end", words)
    assert await house.state("of-bruno") == "locked"


async def test_a_message_says_whom_it_reached_and_who_has_seen_it(house: Acts) -> None:
    words = {"all": True, "text": {"en": "Maintenance at noon.", "fr": "Maintenance à midi."}}
    assert (await house.acts.answer(DAMIEN, "message", words))["shown"] == 2
    server, _, arguments = house.agents.calls[0]
    assert arguments["message"]["text"]["fr"] == "Maintenance à midi."
    assert server in ("s1", "s2")
    adele = await house.estate.session("of-adele")
    assert adele is not None
    assert await house.acts.message_seen(adele, {"message": arguments["message"]["id"]}) == {"known": True}
    (row,) = await house.acts.answer(DAMIEN, "messages", {})
    assert (row["sessions"], row["told"], row["shown"], row["seen"], row["sender"]) == (2, 2, 2, 1, "Damien Colin")
    with pytest.raises(Invalid):
        await house.acts.answer(DAMIEN, "message", {"all": True, "text": {}})


async def test_only_an_operators_own_session_operates(house: Acts) -> None:
    adele = await house.estate.session("of-adele")
    assert adele is not None
    with pytest.raises(Denied):
        await house.acts.of_session(adele, {"act": "farm"})


async def test_the_farm_and_a_search_show_servers_and_people_and_nothing_else(house: Acts) -> None:
    farm = await house.acts.answer(DAMIEN, "farm", {})
    assert [(row["id"], row["locked"], row["sessions"]) for row in farm["servers"]] == [("s1", 1, 1), ("s2", 1, 1)]
    (found,) = await house.acts.answer(DAMIEN, "sessions", {"search": "morel"})
    assert (found["name"], found["hospital"], found["server"], found["state"]) == ("Adele Morel", "One", "s1", "locked")


async def test_licences_are_drawn_as_they_were_and_as_the_forecast_says(house: Acts) -> None:
    """Four weeks, the last ones' growth included, in samples of five minutes as the brokers write them."""
    await house.pool.execute(
        "insert into estate.application (id, name, kind) values ('letters', 'Letters', 'window') on conflict do nothing"
    )
    await house.pool.execute("insert into estate.licence_pool (application, seats) values ('letters', 100)")
    await house.pool.execute(SAMPLES, NOW)
    explaining.Explaining(house.acts, house.acts.store)
    rows = await house.acts.answer(DAMIEN, "licence_history", {"hours": 24})
    assert len([row for row in rows if "used" in row]) == pytest.approx(96, abs=1)
    history = [(row["at"], row["used"]) for row in await house.pool.fetch("select at, used from estate.licence_usage")]
    said = licence_forecast.expected(history, now=NOW, ahead=8)
    assert [(row["at"], row["forecast"]) for row in rows if "forecast" in row] == [(iso(at), round(used, 1)) for at, used in said]
    assert said[0][1] == pytest.approx(40, rel=0.02)  # two in the afternoon; a week ago it was 38
    (picture,) = licence_curves(rows)
    assert (picture["name"], list(picture["lines"])) == ("letters", ["used", "limit", "forecast"])
    assert "polyline" in curve(picture, lambda name, **_: name)["svg"]


SAMPLES = """
    insert into estate.licence_usage (application, at, seats, used)
    select 'letters', at, 100, round(power(1.05, extract(epoch from at - $1::timestamptz) / 604800)
                                     * case when extract(hour from at at time zone 'UTC') between 8 and 18 then 40 else 10 end)
      from generate_series($1::timestamptz - interval '4 weeks', $1::timestamptz - interval '5 minutes', interval '5 minutes') at"""


async def test_what_power_planned_and_ran_is_drawn_with_the_sessions_that_were_held(house: Acts) -> None:
    FarmUpkeep(house.pool, operations=house.acts, machines={})
    began = datetime.now(UTC) - timedelta(minutes=30)
    for minute in range(20):
        plan = Plan(
            steps=(), wanted=4 + minute // 10, needed=3, wanted_later=5, ready=4, coming=1, expected=60.0, too_many_since=None, short=0
        )
        turn = {"emptying": 0, "running": 5, "held": 50 + minute, "now": began + timedelta(minutes=minute)}
        await PowerStore(house.pool).add_turn("wards", plan, **turn)
    rows = await house.acts.answer(DAMIEN, "power_history", {"hours": 24})
    (picture,) = power_curves(rows)
    assert picture["name"] == "wards"
    assert {label: points[-1][1] for label, points in picture["lines"].items()} == {"sessions": 69, "on": 5, "wanted": 5}


async def test_why_somebody_is_where_they_are_what_runs_beside_and_what_was_refused(house: Acts) -> None:
    explaining.Explaining(house.acts, house.acts.store)
    for sql in (
        "insert into estate.application (id, name, kind) values ('letters', 'Letters', 'window')",
        "update estate.delivery_group set applications = '{record,letters}'",
        "insert into estate.program_run (run, session, application) values ('r1', 'of-adele', 'letters')",
        "insert into estate.refusal (person, application, broker, reason, text) values ('adele', 'letters', 'b', 'licences', 'All taken.')",
    ):
        await house.pool.execute(sql)
    for whose in ("of-adele", "adele.morel", "adele"):
        found = await house.acts.answer(DAMIEN, "why_of", {"whose": whose})
        ((lines,), (refused,)) = [one["lines"] for one in found["sessions"]], found["refused"]
        assert lines[0].startswith("Server s1, for 'record'")
        assert lines[-1].startswith("Beside it runs 'Letters'")
        assert "because group default publishes it" in lines[-1]
        assert (refused["reason"], refused["text"]) == ("licences", "All taken.")
    with pytest.raises(NotFound):
        await house.acts.answer(DAMIEN, "why_of", {"whose": "nobody"})


async def test_samples_of_holidays_outlive_the_weeks(house: Acts) -> None:
    store, christmas = PowerStore(house.pool), datetime(2025, 12, 25, 12, tzinfo=UTC)
    for at in (christmas, christmas + timedelta(days=7), NOW - timedelta(days=3)):
        await store.sample(at)
    await store.forget(NOW - timedelta(days=35), [christmas.date()], NOW)
    kept = [one.at for one in (await store.samples(NOW - timedelta(days=28), [christmas.date()]))["default"]]
    assert kept == [christmas, NOW - timedelta(days=3)]


async def test_a_new_session_gets_the_limits_of_the_most_exact_rows(house: Acts) -> None:
    await house.acts.answer(DAMIEN, "set_policy", {"idle_lock_seconds": 600, "absolute_seconds": 36000})
    await house.acts.answer(DAMIEN, "set_policy", {"role": "nurse", "idle_lock_seconds": 120})
    wanted = Wanted(person="adele", role="nurse", kind=SessionKind.PERSON, label="", application="record", hospital="h1")
    assert await house.acts.limits(wanted, "s1") == {"idle_lock_seconds": 120, "absolute_seconds": 36000}


def test_a_role_counts_for_more_than_a_hospital_and_a_hospital_for_more_than_a_group() -> None:
    rows = [
        SessionPolicy(role="nurse", linger_seconds=1),
        SessionPolicy(hospital="h1", linger_seconds=2, away_seconds=2),
        SessionPolicy(grp="g", linger_seconds=3, away_seconds=3, idle_lock_seconds=3),
        SessionPolicy(role="doctor", shadow="never"),
    ]
    found = limits_of(rows, hospital="h1", groups=("g",), role="nurse")
    assert found == {"linger_seconds": 1, "away_seconds": 2, "idle_lock_seconds": 3}
    assert limits_of(rows, hospital="h2", groups=("default",), role="clerk") == {}


async def test_who_came_about_this_time_in_the_last_weeks_is_expected_and_nobody_else(house: Acts) -> None:
    """Adele at this time in two of four weeks, Bruno in one; who has a session already is not started twice."""
    fetch = house.acts.store.fetch
    await fetch("update estate.session set state = 'ended', started = now() + interval '20 minutes' - interval '7 days'")
    await fetch("""
        insert into estate.session (id, person, role, kind, server, state, started, changed)
        select 'older-' || s.id, s.person, s.role, s.kind, s.server, 'ended', now() + case s.person when 'adele' then interval '5 minutes'
               else interval '3 hours' end - interval '14 days', now() from estate.session s""")
    assert [row["person"] for row in await fetch(EXPECTED)] == ["adele"]
    started: list[str] = []

    async def start(person: str, role: str, kind: str, *, hospital: str) -> None:
        wanted = Wanted(person=person, role=role, kind=SessionKind.PERSON, label="", application="record", hospital=hospital)
        assert (await house.acts.limits(wanted, "s1"))["unlock_seconds"] == KEPT_SECONDS
        started.append(person)

    Prelaunch(house.acts, start)
    assert await house.acts.answer(DAMIEN, "prelaunch", {"ward": "w1"}) == {"people": 1, "started": 1}
    assert started == ["adele"]
    await fetch("update estate.session set state = 'locked' where id = 'of-adele'")
    assert await fetch(EXPECTED) == []
    assert await house.acts.answer(DAMIEN, "prelaunch", {"ward": "w1"}) == {"people": 0, "started": 0}
