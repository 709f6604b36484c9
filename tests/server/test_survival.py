"""What may die, and what a nurse notices of it: nothing, unless it is her own process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from server_rig import Rig, running_server

from cloister.base.errors import Busy, Denied


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Rig]:
    """One of its own for each test, because these break it."""
    async with running_server() as rig:
        yield rig


async def test_a_killed_agent_finds_its_sessions_again(server: Rig) -> None:
    adele = await server.open("adele")
    pid = await adele.pid()
    await server.kill_agent()
    assert (await adele.get("/")).json()["pid"] == pid
    await server.start_agent()
    listed = (await server.listed())[adele.started.session]
    assert (listed["pid"], listed["state"], listed["epoch"]) == (pid, "active", 1)
    adele.expires = int(time.time()) + 100
    await server.until(lambda: "adele" in [one["person"] for one in server.gate.admitted.values()])
    assert "set-cookie" in (await adele.get("/")).headers, "the new agent knows who asks"
    second = await server.sign_in("adele")
    assert (second.started.session, second.started.slot) == (adele.started.session, adele.started.slot)
    bruno = await server.sign_in("bruno")
    assert bruno.started.slot != adele.started.slot
    await server.broker.end_session(adele.started.session)
    await server.until(lambda: not os.path.exists(f"/proc/{pid}"))


async def test_a_session_that_died_while_the_agent_was_away_is_not_found_again(server: Rig) -> None:
    adele = await server.open("adele")
    pid = await adele.pid()
    await server.kill_agent()
    os.kill(pid, signal.SIGKILL)
    await server.start_agent()
    assert await server.listed() == {}
    await server.until(lambda: server.store.state(adele.started.session) == "ended")
    assert not (await server.sign_in("adele")).started.reconnected


async def test_a_killed_zygote_is_started_again_and_sessions_go_on(server: Rig) -> None:
    adele = await server.open("adele")
    zygote = (await server.agent_caller.call("list"))["zygote"]
    os.kill(zygote, signal.SIGKILL)
    bruno = await server.open("bruno")
    assert (await adele.get("/")).status_code == 200
    pid = await adele.pid()
    await server.broker.end_session(adele.started.session)
    await server.until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert (await bruno.get("/")).status_code == 200


async def test_a_restarted_gate_learns_again_who_is_who(server: Rig) -> None:
    adele = await server.sign_in("adele")
    pid = await adele.pid()
    await server.gate.stop()
    assert (await adele.unlock()).status_code in (403, 503)
    await server.gate.start()
    await server.until(lambda: pid in server.gate.admitted)
    assert (await adele.unlock()).status_code == 200


async def test_a_restarted_controller_goes_on_with_the_same_sessions(server: Rig) -> None:
    adele = await server.open("adele")
    await server.restart_controller()
    assert (await adele.get("/")).status_code == 200
    again = await server.sign_in("adele")
    assert again.started.reconnected
    await server.until(lambda: server.store.state(adele.started.session) == "locked")
    assert [row.id for row in await server.broker.list_sessions()] == [adele.started.session]


async def test_when_her_process_is_killed_a_new_one_never_answers_her_old_ticket(server: Rig) -> None:
    adele = await server.open("adele")
    pid = await adele.pid()
    os.kill(pid, signal.SIGKILL)
    await server.until(lambda: server.store.state(adele.started.session) == "ended")
    others = [await server.sign_in("bruno")]
    others += [await server.sign_in("lab", role="program", kind="program", label=str(n)) for n in range(4)]
    for person in others:
        await server.broker.end_session(person.started.session)
    await server.until(lambda: len(server.store.rows) == 6 and all(row.state == "ended" for row in server.store.rows.values()))
    for _ in range(4):  # until her slot is used again
        bruno = await server.sign_in("bruno")
        if bruno.started.slot == adele.started.slot:
            break
        await server.broker.end_session(bruno.started.session)
        await server.until(lambda sid=bruno.started.session: server.store.state(sid) == "ended")  # type: ignore[misc]
    assert bruno.started.slot == adele.started.slot
    await adele.http.aclose()
    fresh = type(adele)(server, "adele", adele.started, adele.key)
    assert (await fresh.get("/")).status_code == 421


async def test_sessions_that_fail_to_start_leave_their_slots_once() -> None:
    async with running_server(slots=2) as server:
        server.gate.refuses = True
        for _ in range(3):
            with pytest.raises(Denied) as refused:
                await server.sign_in("adele")
            assert refused.value.reason == "unknown-service"
        server.gate.refuses = False
        slots = {(await server.open(person)).started.slot for person in ("adele", "bruno")}
        assert slots == {0, 1}
        with pytest.raises(Busy):
            await server.sign_in("lab", role="program", kind="program")


async def test_stopping_the_server_ends_every_session(server: Rig) -> None:
    pids = [await (await server.open(person)).pid() for person in ("adele", "bruno")]
    await server.stop()
    await asyncio.sleep(0.05)
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []
    assert {row.why for row in server.store.rows.values()} == {"server-stopped"}


async def test_a_session_unknown_to_the_controller_is_ended(server: Rig) -> None:
    adele = await server.open("adele")
    pid = await adele.pid()
    await server.kill_agent()
    del server.store.rows[adele.started.session]
    await server.start_agent()
    await server.until(lambda: not os.path.exists(f"/proc/{pid}"))
