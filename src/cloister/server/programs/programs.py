"""The programs beside one session: asked of the agent, started with sealed file keys, shown over a WebSocket, ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cloister.base.errors import Busy, CloisterError, Denied, Invalid, NotFound, Unavailable
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.server.passes import Passes
from cloister.server.programs.looking import Looker, Picture
from cloister.server.programs.plan import ProgramKind, Rules, read_rules
from cloister.server.programs.rfb import FromBrowser
from cloister.server.programs.running import ProgramState, Running

RUNS_MAX: Final = 4  # at once, beside one session
START_SECONDS_MAX: Final = 20.0
CHUNK: Final = 65_536
AGAIN_SECONDS: Final = 30.0  # how often a screen that is shown is judged anew: rules may ask for the time since the last proof
LOCKED, FORBIDDEN, OVER, ODD = 4401, 4403, 4410, 4400  # WebSocket close codes (RFC 6455 7.4.2, private use)

Judge = Callable[[Rules], Rules]  # what of an application's rules holds for this viewer, here and now; raises Denied for the screen itself
Seal = Callable[[bytes, Sequence[str]], "Any"]  # (public key, zones that have folders) -> awaitable list of {zone, sealed}


class OfRuntime(Protocol):
    """What of a session's runtime programs need."""

    agent: Caller
    passes: Passes

    async def ask_controller(self, what: str, **words: Any) -> dict[str, Any]: ...

    def touch(self) -> None: ...
    def on_lock(self, callback: Callable[[], None]) -> None: ...
    def on_rules(self, callback: Callable[[], Awaitable[None]]) -> None: ...
    def on_change(self, callback: Callable[[frozenset[str]], None]) -> None: ...


class WebSocket(Protocol):
    """The little of starlette's WebSocket that a screen needs."""

    async def receive(self) -> Any: ...
    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


@dataclass(slots=True)
class Screen:
    """One browser at one run's screen. `why` is the close code that it gets when it is cut."""

    running: Running
    judge: Judge
    rules: Rules
    why: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person's browser says of itself; `credentials` only for a Windows program, and kept nowhere."""

    width: int
    height: int
    layout: str
    language: str
    credentials: dict[str, str] | None = None


class Programs:
    def __init__(self, runtime: OfRuntime) -> None:
        self._runtime = runtime
        self._runs: dict[str, Running] = {}  # by application
        self._screens: dict[asyncio.Task[None], Screen] = {}
        self._lookers: dict[str, Looker] = {}  # by run
        self._leaving: dict[str, asyncio.TimerHandle] = {}  # by run: until it ends because nobody looks at it
        self._turns: dict[str, asyncio.Lock] = {}
        runtime.on_lock(self._cut)
        runtime.on_change(self._zones_lost)
        runtime.on_rules(self._judge_again)

    def of(self, application: str) -> Running:
        """The run of this application, also when it has just ended; NotFound when there was none."""
        running = self._runs.get(application)
        if running is None:
            raise NotFound("This program does not run.", hint="Start it.", reason="program-not-running")
        return running

    async def offered(self) -> list[dict[str, str]]:
        """What this person may start here: {id, name, kind}. Nothing where the controller is away: a page must not fail for it."""
        try:
            told = await self._runtime.ask_controller("program_list")
        except (Unavailable, Denied, Invalid):
            return []
        return [{name: str(one[name]) for name in ("id", "name", "kind")} for one in told["programs"]]

    def states(self) -> dict[str, ProgramState]:
        return {name: running.state for name, running in self._runs.items()}

    async def start(self, application: str, wishes: Wishes, seal: Seal) -> Running:
        """The run of this application: the one there is, or a new one. Returns when it runs or has ended at once."""
        async with self._turns.setdefault(application, asyncio.Lock()):  # a page that asks twice gets the same run
            there = self._runs.get(application)
            if there is not None and there.state is not ProgramState.ENDED:
                return there
            return await self._start(application, wishes, seal)

    async def _start(self, application: str, wishes: Wishes, seal: Seal) -> Running:
        alive = [one for one in self._runs.values() if one.state is not ProgramState.ENDED]
        if len(alive) >= RUNS_MAX:
            raise Busy(f"At most {RUNS_MAX} programs run at once.", hint="End one of them first.", reason="program-count")
        try:
            told = await self._runtime.agent.call("session_program", timeout_seconds=START_SECONDS_MAX, application=application)
            running = Running(
                run=str(told["run"]), application=application, title=str(told["title"]), kind=ProgramKind(told["kind"]),
                rules=read_rules(told["rules"]), on_end=self._ended, linger_seconds=int(told.get("linger_seconds", 0)),
            )  # fmt: skip
            self._runs[application] = running
            hello = await running.open(str(told["socket"]))
            sealed = await seal(bytes(hello["public_key"]), [str(zone) for zone in hello["zones"]])
            wished = {"width": wishes.width, "height": wishes.height, "layout": wishes.layout, "language": wishes.language}
            await running.begin(sealed, **wished, credentials=wishes.credentials)
            self._left(running)
        except CloisterError:
            self.end(application, "lost")
            raise
        return running

    def end(self, application: str, why: str = "asked") -> None:
        running = self._runs.get(application)
        if running is not None:
            running.end(why)

    def end_all(self, why: str) -> None:
        for running in list(self._runs.values()):
            running.end(why)

    def screen_pass(self, application: str) -> str:
        """Lets one WebSocket be opened to the screen of this run, at once."""
        self.of(application)
        return self._runtime.passes.issue(f"/programs/{application}/screen", now=time.monotonic())

    # --- the screen ----------------------------------------------------------------------------------------------

    async def show(self, application: str, browser: WebSocket, judge: Judge) -> None:
        """Carry the screen between the program and a browser whose WebSocket was accepted, until one of them goes, the session locks,
        or the trust's rules forbid it where the browser is."""
        running = self.of(application)
        shown = Screen(running, judge, judge(running.rules))
        screen = await running.screen()
        task = asyncio.ensure_future(self._carry(shown, screen, browser))
        self._screens[task] = shown
        self._stays(running)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
        finally:
            self._screens.pop(task, None)
            screen.close()
            self._left(running)
        code = OVER if running.state is ProgramState.ENDED else shown.why
        with contextlib.suppress(RuntimeError, OSError):
            await browser.close(code)

    async def _carry(self, shown: Screen, screen: socket.socket, browser: WebSocket) -> None:
        reader, writer = await asyncio.open_connection(sock=screen)
        outward = asyncio.ensure_future(_outward(reader, browser))
        inward = asyncio.ensure_future(self._inward(shown, browser, writer))
        try:
            while not (await asyncio.wait((outward, inward), return_when=asyncio.FIRST_COMPLETED, timeout=AGAIN_SECONDS))[0]:
                if not _still(shown):
                    break
        finally:
            for one in (outward, inward):
                one.cancel()
            writer.transport.abort()
            await asyncio.gather(outward, inward, return_exceptions=True)

    async def _inward(self, shown: Screen, browser: WebSocket, writer: asyncio.StreamWriter) -> None:
        said = FromBrowser(clipboard_in=shown.rules.clipboard_in, clipboard_out=shown.rules.clipboard_out)
        while (message := await browser.receive())["type"] == "websocket.receive":
            try:
                onward = said.feed(message.get("bytes") or b"")
            except Invalid:
                log("program.odd_browser", level="warning", application=shown.running.application)
                shown.why = ODD
                return
            if said.worked:
                said.worked = False
                self._runtime.touch()
            if onward:
                writer.write(onward)
                await writer.drain()

    async def picture(self, application: str) -> Picture | None:
        """What the screen shows now, for a colleague who was let in; None where nothing has changed. By a second viewer that only looks."""
        running = self.of(application)
        looker = self._lookers.get(running.run)
        if looker is None or looker.gone:
            screen = await running.screen()
            looker = self._lookers[running.run] = Looker(screen)
        return await looker.look()

    def look_away(self) -> None:
        """Nobody watches any more: the second viewers go."""
        for looker in self._lookers.values():
            looker.close()
        self._lookers.clear()

    # --- what the session does -----------------------------------------------------------------------------------

    def _cut(self) -> None:
        """The session locks: screens go dark at once. The programs go on, with what they have open, until it ends."""
        self.look_away()
        for task, shown in list(self._screens.items()):
            shown.why = LOCKED
            task.cancel()

    async def _judge_again(self) -> None:
        """The trust's rules have changed: who may not look any more is cut off, and who may carry less, or more, comes anew."""
        for task, shown in list(self._screens.items()):
            if not _still(shown):
                task.cancel()

    def _stays(self, running: Running) -> None:
        leaving = self._leaving.pop(running.run, None)
        if leaving is not None:
            leaving.cancel()

    def _left(self, running: Running) -> None:
        """Nobody looks at it now: it lingers for as long as its application says, or else as long as its session."""
        self._stays(running)
        alone = all(shown.running is not running for shown in self._screens.values())
        if running.linger_seconds and alone and running.state is not ProgramState.ENDED:
            later = asyncio.get_running_loop().call_later
            self._leaving[running.run] = later(running.linger_seconds, running.end, "lingered")

    def _zones_lost(self, lost: frozenset[str]) -> None:
        for running in list(self._runs.values()):
            if running.zones & lost:
                running.end("zone-lost")

    def _ended(self, running: Running) -> None:
        self._stays(running)
        looker = self._lookers.pop(running.run, None)
        if looker is not None:
            looker.close()
        for task, shown in list(self._screens.items()):
            if shown.running is running:
                task.cancel()


def _still(shown: Screen) -> bool:
    """Whether this screen may go on as it was opened; if not, `why` says what to tell the browser."""
    try:
        rules = shown.judge(shown.running.rules)
    except Denied:
        shown.why = FORBIDDEN
        return False
    return rules == shown.rules


async def _outward(reader: asyncio.StreamReader, browser: WebSocket) -> None:
    while data := await reader.read(CHUNK):
        await browser.send_bytes(data)
