"""Who gets which session: placement, coming back, limits, and what the broker learns from a server's hello."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloister.base.errors import Busy, CloisterError, Conflict, Denied, Invalid, NotFound, Unavailable
from cloister.base.secret import Secret
from cloister.base.wire import Peer
from cloister.farm import Broker, MemoryStore, Server, Tickets, verified_ticket
from cloister.farm.groups import EVERYBODY
from cloister.farm.placement import ServerState, Wanted
from cloister.farm.ranking import Ranking

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
AGENT = Peer(100, 0, 0)
ADELE = Wanted(person="adele", role="nurse")


def a_server(name: str = "s1", **changed: Any) -> Server:
    facts = {"slots": 10, "free": 10, "state": ServerState.READY, "load": 0.0, "missing": (), "seen": NOW, **changed}
    return Server(id=name, **facts)


class FakeAgent:
    """Answers as a server's agent; `broken` is raised instead."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.broken: CloisterError | None = None
        self.calls: list[str] = []

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        self.calls.append(method)
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        session = arguments["session"]
        if method == "spawn":
            slot = len(self.sessions)
            self.sessions[session] = {"session": session, "slot": slot, "epoch": 1, "state": "locked"}
            return {"public_key": b"key-1", "slot": slot, "pid": 1000 + slot}
        if session not in self.sessions:
            raise NotFound("This server has no such session.")
        if method == "rejoin":
            self.sessions[session]["epoch"] = arguments["epoch"]
            return {"public_key": f"key-{arguments['epoch']}".encode()}
        if method == "end":
            del self.sessions[session]
        return {}


class House:
    def __init__(self) -> None:
        self.now = NOW
        self.agent = FakeAgent()
        self.store = MemoryStore()
        self.tickets = Tickets(Secret(bytes(32)), clock=lambda: self.now)
        self.restart()

    def restart(self) -> None:
        self.broker = Broker(
            store=self.store,
            tickets=self.tickets,
            agents=lambda server: self.agent,
            destination=lambda server, slot: f"/run/{server}/slots/{slot}.sock",
            agent_token=Secret(b"right"),
            clock=lambda: self.now,
        )

    async def hello(self, token: str = "right") -> Any:
        said = list(self.agent.sessions.values())
        return await self.broker.answer(AGENT, "hello", {"server": "s1", "slots": 10, "sessions": said, "token": token})


@pytest.fixture
async def house() -> House:
    house = House()
    await house.hello()
    return house


async def test_a_nurse_gets_a_session_and_a_ticket_for_its_slot(house: House) -> None:
    started = await house.broker.start_session("adele", "nurse", "person")
    claims = verified_ticket(started.ticket, house.tickets.jwks(), now=NOW)
    assert (claims.sid, claims.dst, claims.person, claims.epoch) == (started.session, "/run/s1/slots/0.sock", "adele", 1)
    assert not started.reconnected
    assert started.ticket not in repr(started)


async def test_she_comes_back_to_the_same_session_under_a_new_epoch(house: House) -> None:
    first = await house.broker.start_session("adele", "nurse", "person")
    second = await house.broker.start_session("adele", "nurse", "person")
    assert (second.session, second.slot, second.reconnected, second.public_key) == (first.session, first.slot, True, b"key-2")
    with pytest.raises(Denied) as refused:
        await house.broker.renew(first.session, 1)
    assert refused.value.reason == "epoch"
    assert verified_ticket(await house.broker.renew(first.session, 2), house.tickets.jwks(), now=NOW).epoch == 2


async def test_two_tabs_at_once_get_one_session(house: House) -> None:
    both = await asyncio.gather(*(house.broker.start_session("adele", "nurse", "person") for _ in range(2)))
    assert both[0].session == both[1].session
    assert sorted(one.reconnected for one in both) == [False, True]
    assert house.agent.calls.count("spawn") == 1


async def test_if_her_session_is_lost_she_gets_a_new_one(house: House) -> None:
    first = await house.broker.start_session("adele", "nurse", "person")
    house.agent.sessions.clear()
    second = await house.broker.start_session("adele", "nurse", "person")
    assert second.session != first.session
    assert (house.store.state(first.session), house.store.rows[first.session].why) == ("ended", "lost")


async def test_a_program_has_at_most_four_sessions_told_apart_by_label(house: House) -> None:
    for label in ("a", "b", "c", "d"):
        await house.broker.start_session("lab", "program", "program", label)
    assert (await house.broker.start_session("lab", "program", "program", "a")).reconnected
    with pytest.raises(Busy) as refused:
        await house.broker.start_session("lab", "program", "program", "e")
    assert refused.value.reason == "program-sessions"
    assert "4" in refused.value.text


async def test_a_person_has_no_labels_and_a_session_no_third_kind(house: House) -> None:
    for arguments in (("adele", "nurse", "person", "x"), ("adele", "nurse", "robot", ""), ("lab", "program", "program", "x" * 65)):
        with pytest.raises(Invalid):
            await house.broker.start_session(*arguments)


async def test_a_failed_start_leaves_no_session_behind(house: House) -> None:
    house.agent.broken = Unavailable("The agent does not answer.", reason="no-answer")
    with pytest.raises(Unavailable):
        await house.broker.start_session("adele", "nurse", "person")
    assert [(row.state, row.why) for row in house.store.rows.values()] == [("ended", "no-answer")]
    house.agent.broken = None
    assert not (await house.broker.start_session("adele", "nurse", "person")).reconnected


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        ([], "no-server"),
        ([a_server(seen=NOW - timedelta(seconds=21))], "server-silent"),
        ([a_server(state=ServerState.OFF)], "server-off"),
        ([a_server(state=ServerState.DRAINING)], "server-draining"),
        ([a_server(free=0), a_server("s2", state=ServerState.DRAINING)], "slots"),
    ],
)
def test_a_refusal_names_the_constraint(servers: list[Server], reason: str) -> None:
    with pytest.raises(CloisterError) as refused:
        ranking(servers).best()
    assert refused.value.reason == reason
    assert refused.value.hint


def ranking(servers: list[Server]) -> Ranking:
    return Ranking(servers, {EVERYBODY.id: EVERYBODY}, wanted=ADELE, now=NOW)


def placed(servers: list[Server]) -> str:
    return ranking(servers).best()[0].server


def test_the_emptiest_server_is_chosen() -> None:
    assert placed([a_server("a", free=3), a_server("b", free=4), a_server("c", slots=4, free=4)]) == "c"
    assert placed([a_server("b", load=0.5), a_server("a", load=0.9)]) == "b"


async def test_while_her_server_is_silent_she_is_told_so_and_gets_no_second_session(house: House) -> None:
    await house.broker.start_session("adele", "nurse", "person")
    house.now += timedelta(seconds=30)
    with pytest.raises(Unavailable) as refused:
        await house.broker.start_session("adele", "nurse", "person")
    assert refused.value.reason == "server-silent"
    assert "s1" in refused.value.text


async def test_a_restarted_broker_reads_the_live_sessions_back(house: House) -> None:
    first = await house.broker.start_session("adele", "nurse", "person")
    house.restart()
    assert [row.id for row in await house.broker.list_sessions()] == [first.session]
    with pytest.raises(Denied) as refused:
        await house.broker.answer(AGENT, "heartbeat", {"load": 0.1, "free": 9})
    assert refused.value.reason == "hello-first"
    await house.hello()
    assert await house.broker.answer(AGENT, "heartbeat", {"load": 0.1, "free": 9}) == {"known": True}
    assert (await house.broker.start_session("adele", "nurse", "person")).reconnected


async def test_a_rebooted_server_has_no_sessions_and_the_broker_believes_it(house: House) -> None:
    first = await house.broker.start_session("adele", "nurse", "person")
    house.agent.sessions.clear()
    assert await house.hello() == {"end": [], "heartbeat_seconds": 5}
    assert (house.store.state(first.session), house.store.rows[first.session].why) == ("ended", "lost")


async def test_a_session_that_the_broker_does_not_know_is_to_be_ended(house: House) -> None:
    house.agent.sessions["ghost"] = {"session": "ghost", "slot": 5, "epoch": 1, "state": "active"}
    assert (await house.hello())["end"] == ["ghost"]


async def test_words_that_were_lost_meanwhile_are_taken_from_the_hello(house: House) -> None:
    started = await house.broker.start_session("adele", "nurse", "person")
    house.agent.sessions[started.session] |= {"state": "active", "epoch": 4}
    await house.hello()
    row = house.store.rows[started.session]
    assert (row.state, row.epoch) == ("active", 4)


async def test_an_agent_without_the_token_is_refused(house: House) -> None:
    with pytest.raises(Denied) as refused:
        await house.hello(token="wrong")
    assert refused.value.reason == "agent-token"
    with pytest.raises(Denied):
        await house.broker.answer(Peer(101, 0, 0), "renew_ticket", {"session": "x", "epoch": 1})


async def test_an_agent_speaks_only_of_its_own_sessions(house: House) -> None:
    started = await house.broker.start_session("adele", "nurse", "person")
    other = Peer(200, 0, 0)
    await house.broker.answer(other, "hello", {"server": "s2", "slots": 1, "sessions": [], "token": "right"})
    with pytest.raises(NotFound):
        await house.broker.answer(other, "renew_ticket", {"session": started.session, "epoch": 1})
    assert (await house.broker.answer(AGENT, "renew_ticket", {"session": started.session, "epoch": 1}))["ticket"]
    with pytest.raises(Invalid):
        await house.broker.answer(AGENT, "anything", {"session": started.session})


async def test_an_ended_session_is_ended_for_good(house: House) -> None:
    started = await house.broker.start_session("adele", "nurse", "person")
    await house.broker.answer(AGENT, "session_state", {"session": started.session, "state": "ended", "why": "signed-out"})
    await house.broker.answer(AGENT, "session_state", {"session": started.session, "state": "active", "why": ""})
    assert house.store.state(started.session) == "ended"
    for use in (house.broker.renew(started.session, 1), house.broker.end_session(started.session)):
        with pytest.raises(NotFound):
            await use


async def test_a_session_changing_hands_elsewhere_is_not_taken_twice(house: House) -> None:
    started = await house.broker.start_session("adele", "nurse", "person")
    live = await house.store.live_of("adele")
    await house.store.set_epoch(started.session, 1, 2, now=NOW)

    async def stale(person: str) -> Any:
        return live

    house.store.live_of = stale  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await house.broker.start_session("adele", "nurse", "person")
