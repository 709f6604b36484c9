"""The programs of one session: a screen that is judged as long as it is shown, goes dark with a lock, and a run that nobody looks at."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import pytest
from programs_rig import EVERYTHING, keeper_of, left_behind, why_not

from cloister.base.errors import Denied
from cloister.server.passes import Passes
from cloister.server.programs import Programs, ProgramState, Rules, Wishes
from cloister.server.programs.programs import FORBIDDEN, LOCKED

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
TERMINAL: Final = ("xterm", "-e", "bash", "--norc")
WISHES: Final = Wishes(width=640, height=480, layout="us", language="en")
SECONDS_MAX: Final = 20.0


class Session:
    """What of a session programs need; its agent starts a real keeper."""

    def __init__(self, folder: Path, linger_seconds: int) -> None:
        self._folder, self._linger, self._undo = folder, linger_seconds, ExitStack()
        self.agent, self.passes = self, Passes()
        self.locks: list[Callable[[], None]] = []
        self.rules: list[Callable[[], Awaitable[None]]] = []

    async def call(self, method: str, *, timeout_seconds: float, application: str) -> dict[str, Any]:
        path, self.keeper = self._undo.enter_context(keeper_of(self._folder, *TERMINAL, kind="window", rules=EVERYTHING))
        told = {"run": "run", "socket": str(path), "title": "One", "kind": "window", "rules": asdict(EVERYTHING)}
        return told | {"linger_seconds": self._linger}

    async def ask_controller(self, what: str, **words: Any) -> dict[str, Any]:
        return {"programs": []}

    def touch(self) -> None: ...

    def on_lock(self, callback: Callable[[], None]) -> None:
        self.locks.append(callback)

    def on_change(self, callback: Callable[[frozenset[str]], None]) -> None: ...

    def on_rules(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.rules.append(callback)

    def close(self) -> None:
        self._undo.close()


class Browser:
    """A WebSocket that says nothing and hears."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.code = 0

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send_bytes(self, data: bytes) -> None:
        self.heard.set()

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.code = code


@asynccontextmanager
async def started(folder: Path, linger_seconds: int = 0) -> AsyncIterator[tuple[Session, Programs]]:
    async def seal(public: bytes, zones: Any) -> list[dict[str, Any]]:
        return []

    session = Session(folder, linger_seconds)
    programs = Programs(session)
    try:
        running = await programs.start("one", WISHES, seal)
        assert running.state is ProgramState.RUNNING, running.ended
        yield session, programs
    finally:
        programs.end_all("asked")
        await asyncio.to_thread(session.close)
    assert left_behind() == []


async def over(programs: Programs) -> str:
    async with asyncio.timeout(SECONDS_MAX):
        while (ended := programs.of("one").ended) is None:
            await asyncio.sleep(0.02)
    return ended.why


@pytest.mark.asyncio
async def test_a_screen_is_judged_as_long_as_it_is_shown_and_goes_dark_with_a_lock(tmp_path: Path) -> None:
    forbidden, less = False, False

    def judge(whole: Rules) -> Rules:
        if forbidden:
            raise Denied("Not from here.", reason="programs-inside")
        return replace(whole, clipboard_out=not less)

    async with started(tmp_path) as (session, programs):

        async def shown_until(happens: Callable[[], Awaitable[None]]) -> int:
            browser = Browser()
            showing = asyncio.ensure_future(programs.show("one", browser, judge))
            await asyncio.wait_for(browser.heard.wait(), SECONDS_MAX)
            await session.rules[0]()  # the same rules again
            assert not showing.done()
            await happens()
            await asyncio.wait_for(showing, SECONDS_MAX)
            return browser.code

        async def less_passes() -> None:
            nonlocal less
            less = True
            await session.rules[0]()

        async def the_place_is_forbidden() -> None:
            nonlocal forbidden
            forbidden = True
            await session.rules[0]()

        async def it_locks() -> None:
            session.locks[0]()

        assert await shown_until(it_locks) == LOCKED
        assert await shown_until(less_passes) == 1000  # the page comes again, under the new rules
        assert await shown_until(the_place_is_forbidden) == FORBIDDEN
        with pytest.raises(Denied):
            await programs.show("one", Browser(), judge)
        assert programs.of("one").state is ProgramState.RUNNING  # it waits, for a place where it may be shown
        session.keeper.send_signal(signal.SIGTERM)  # the agent's word, for an operator
        assert await over(programs) == "operator"


@pytest.mark.asyncio
async def test_a_run_that_nobody_looks_at_ends_as_its_application_says(tmp_path: Path) -> None:
    async with started(tmp_path, linger_seconds=1) as (session, programs):
        browser = Browser()
        showing = asyncio.ensure_future(programs.show("one", browser, lambda whole: whole))
        await asyncio.wait_for(browser.heard.wait(), SECONDS_MAX)
        await asyncio.sleep(1.2)  # longer than it may linger: it is looked at
        assert programs.of("one").ended is None
        session.locks[0]()
        await showing
        assert await over(programs) == "lingered"
