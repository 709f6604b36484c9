"""What a session tells its open pages, at once: lock, gone elsewhere, send what is typed, messages; and the limits of its policy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from server_rig import IN_ONE_LOOP, Browser, Rig, running_server

from cloister.farm import SessionState

pytestmark = IN_ONE_LOOP

MESSAGE = {"id": "m-1", "text": {"en": "Maintenance at noon.", "fr": "Maintenance à midi."}, "sender": "Damien Colin", "at": "2026-11-29"}


class Page:
    """One open page's stream."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.came = asyncio.Condition()
        self.over = asyncio.Event()

    async def heard(self, event: str, seconds: float = 10.0) -> dict[str, Any]:
        async with asyncio.timeout(seconds), self.came:
            await self.came.wait_for(lambda: any(name == event for name, _ in self.events))
        return next(words for name, words in self.events if name == event)


@asynccontextmanager
async def open_page(browser: Browser) -> AsyncIterator[Page]:
    page, ready = Page(), asyncio.Event()

    async def read() -> None:
        async with browser.http.stream("GET", "/session/live", headers=browser._headers({}), timeout=60) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            name = ""
            async for line in answer.aiter_lines():
                ready.set()
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    async with page.came:
                        page.events.append((name, json.loads(line[6:])))
                        page.came.notify_all()
        page.over.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(ready.wait(), 10)
    try:
        yield page
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def test_the_old_screen_is_told_at_once_that_she_continues_elsewhere_and_where(server: Rig) -> None:
    adele = await server.open("adele")
    async with open_page(adele) as page:
        began = time.monotonic()
        await server.broker.start_session("adele", "nurse", "person", where="10.2.3.4")
        assert (await page.heard("moved"))["where"] == "10.2.3.4"
        assert time.monotonic() - began < 5, "far under a second on a quiet machine"
        await asyncio.wait_for(page.over.wait(), 5)
    async with open_page(await server.sign_in("adele")) as page:
        await page.heard("lock")


async def test_locking_on_one_page_locks_the_others(server: Rig) -> None:
    adele = await server.open("adele")
    async with open_page(adele) as page:
        assert (await adele.post("/session/lock")).status_code == 200
        assert (await page.heard("lock"))["why"] == "locked"


async def test_a_message_is_shown_in_every_page_and_in_later_ones_until_it_was_seen(server: Rig) -> None:
    adele = await server.open("adele")
    session = adele.started.session
    async with open_page(adele) as one, open_page(adele) as two:
        told = await server.agent_caller.call("message", sessions=[session, "nobody"], message=MESSAGE)
        assert told == {session: 2}
        assert (await one.heard("message"))["text"] == (await two.heard("message"))["text"] == MESSAGE["text"]
    async with open_page(adele) as later:
        await later.heard("message")
        await adele.post("/session/seen", {"id": "m-1"})
        await adele.post("/session/seen", {"id": "m-1"})
        assert server.seen == [(session, "m-1")], "who has seen it has seen it once"
    async with open_page(adele) as last:
        assert last.events == []


async def test_ending_asks_the_pages_to_send_what_is_typed_and_kills_who_hangs_all_within_five_seconds(server: Rig) -> None:
    adele, bruno, lab = await server.open("adele"), await server.open("bruno"), await server.open("lab")
    os.kill(await bruno.pid(), signal.SIGSTOP)  # hangs, whatever it is asked
    async with open_page(adele) as page:
        ending = asyncio.create_task(server.agent_caller.call("end_many", sessions=None, reason="drill", spare=lab.started.session))
        await page.heard("save")
        assert (await adele.get("/")).status_code == 200, "while the pages save, the session is as it was"
        assert (await adele.post("/session/saved")).status_code == 200
        assert (await page.heard("end"))["why"] == "drill"
        done = await ending
    assert (done["ended"], done["killed"]) == (2, 1)
    assert done["seconds"] < 5
    await server.until(lambda: {server.store.state(one.started.session) for one in (adele, bruno)} == {"ended"})
    assert set(await server.listed()) == {lab.started.session}, "who ends everybody sees what came of it"


async def test_a_policy_says_how_long_she_may_stay_away_and_how_long_a_session_lasts(server: Rig) -> None:
    server.limits = {"away_seconds": 1, "absolute_seconds": 8, "linger_seconds": 60}
    adele = await server.open("adele")
    async with open_page(adele):
        await asyncio.sleep(1.5)
        assert server.store.state(adele.started.session) == "active", "a page is open"
    await server.until(lambda: server.store.state(adele.started.session) == "disconnected", 6)
    assert (await adele.get("/")).status_code == 401
    server.limits = {}
    await server.until(lambda: server.store.state(adele.started.session) == "ended", 15)
    assert server.store.rows[adele.started.session].why == "absolute"


async def test_her_page_is_warned_before_the_longest_time_is_over() -> None:
    async with running_server() as server:
        server.limits = {"absolute_seconds": 4}
        adele = await server.open("adele")
        async with open_page(adele) as page:
            assert (await page.heard("ends"))["seconds"] <= 4
            assert (await page.heard("end"))["why"] == "absolute"


async def test_the_agent_does_not_rely_on_what_a_session_says_of_its_limits() -> None:
    from cloister.server.limits import overdue

    limits = {"absolute_seconds": 100, "linger_seconds": 50, "unlock_seconds": 60}

    def after(state: SessionState, age: float, unchanged: float) -> str:
        return overdue(state, age_seconds=age, state_seconds=unchanged, limits=limits, grace_seconds=10)

    assert after(SessionState.ACTIVE, 109, 109) == ""
    assert after(SessionState.ACTIVE, 111, 1) == "absolute"
    assert after(SessionState.LOCKED, 80, 69) == ""
    assert after(SessionState.LOCKED, 80, 71) == "linger"
    assert overdue(SessionState.ACTIVE, age_seconds=1e9, state_seconds=1e9, limits={}, grace_seconds=1) == ""
