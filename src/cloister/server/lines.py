"""A server's lines to the controllers of its estate: it dials each of them, and each may call back on its line.

Any line will do for what the server has to say; the others are there for controllers that have something to ask. A server
that has heard no controller for a while asks its gate, over another way, whether its sessions were placed elsewhere: what
was, ends; if nobody can be asked, every session is locked, because somebody else may have opened it meanwhile (fencing).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from cloister.base.errors import CloisterError, Conflict, Denied, NotFound, Unavailable
from cloister.base.telemetry import log
from cloister.farm import SessionState, machines
from cloister.machines import Link, between

RETRY_SECONDS: Final = 0.5
RETRY_SECONDS_MAX: Final = 3.0
CALL_SECONDS_MAX: Final = 5.0
HEARTBEAT_SECONDS: Final = 5.0
FENCE_SECONDS: Final = 10.0  # without any controller
FENCE_AGAIN_SECONDS: Final = 2.0
HELLO: Final = ("server", "slots", "sessions", "missing", "load", "memory", "groups", "image", "instance", "health")

Place = tuple[str, str, int]  # machine, address, port of its wire


class Estate(Protocol):
    """What the agent is given of its machine's place in the estate."""

    machine: str
    address: str
    port: int
    folder: str

    def controllers(self) -> Sequence[Place]: ...
    def tls(self) -> ssl.SSLContext: ...
    def learned(self, told: dict[str, Any]) -> None: ...


class ControllerLines:
    """The same words as links.ControllerLink, over lines between machines."""

    def __init__(
        self,
        estate: Estate,
        report: Callable[[], dict[str, Any]],
        end_unknown: Callable[[str], None],
        asked: Callable[[str, dict[str, Any]], Awaitable[Any]],
        fence: Callable[[], Awaitable[None]],
    ) -> None:
        """`asked` answers a controller's calls; `fence` ends or locks what may have been placed elsewhere."""
        self._estate = estate
        self._report = report
        self._end_unknown = end_unknown
        self._asked = asked
        self._fence = fence
        self._lines: dict[str, Link] = {}
        self._said = 0.0

    async def keep(self) -> None:
        """A line to each controller that is known, until cancelled."""
        tasks: dict[Place, asyncio.Task[None]] = {}
        fencing = asyncio.create_task(self._watch())
        try:
            while True:
                wanted = set(self._estate.controllers())
                for place in set(tasks) - wanted:
                    tasks.pop(place).cancel()
                for place in wanted - set(tasks):
                    tasks[place] = asyncio.create_task(self._keep_one(place))
                await asyncio.sleep(1.0)
        finally:
            for task in (*tasks.values(), fencing):
                task.cancel()

    async def _keep_one(self, place: Place) -> None:
        machine, address, port = place
        pause = RETRY_SECONDS
        while True:
            try:
                link = await between.dial(address, port, self._estate.tls(), part="controller", answer=self._answer)
                try:
                    await self._talk(machine, link)
                    pause = RETRY_SECONDS
                finally:
                    self._lines.pop(machine, None)
                    link.close()
                log("agent.controller_lost", level="warning", controller=machine)
            except (OSError, TimeoutError, CloisterError) as fault:
                reason = fault.reason or fault.category if isinstance(fault, CloisterError) else type(fault).__name__
                log("agent.no_controller", level="warning", controller=machine, reason=reason)
                pause = min(pause * 1.5, RETRY_SECONDS_MAX)
            await asyncio.sleep(pause)

    async def _talk(self, machine: str, link: Link) -> None:
        seen = machines.shown(link.certificate)
        if seen.kind is not machines.Kind.CONTROLLER or seen.machine != machine:
            raise Denied(f"'{seen.machine}' answers where the controller '{machine}' should.", reason="machine-other")
        link.peer = seen
        facts = self._report()
        said = {name: facts[name] for name in HELLO if name in facts}
        place = {"address": self._estate.address, "port": self._estate.port, "folder": self._estate.folder}
        reply = await link.call("hello", timeout_seconds=CALL_SECONDS_MAX, **said, **place)
        self._estate.learned(reply)
        for session in reply["end"]:
            self._end_unknown(str(session))
        self._lines[machine] = link
        log("agent.controller", controller=machine)
        while not link.closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(link.closed.wait(), HEARTBEAT_SECONDS)
                return
            if not await self._beat(machine, link):
                return

    async def _beat(self, machine: str, link: Link) -> bool:
        """False when the controller does not know this server any more."""
        self._estate.learned(await link.call("estate", timeout_seconds=CALL_SECONDS_MAX))
        if next(iter(self._lines), "") != machine:
            return True  # another controller writes it down for all
        facts = self._report()
        words = {name: facts[name] for name in ("load", "free", "memory", "health") if name in facts}
        return bool((await link.call("heartbeat", timeout_seconds=CALL_SECONDS_MAX, **words))["known"])

    async def _answer(self, link: Link, method: str, arguments: dict[str, Any]) -> Any:
        if link.peer is None:  # before it was looked at
            raise Denied("Not yet.", reason="hello-first")
        return await self._asked(method, arguments)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            await asyncio.sleep(FENCE_AGAIN_SECONDS)
            if self._lines:
                heard = loop.time()
            elif loop.time() - heard > FENCE_SECONDS:
                await self._fence()

    # --- what the agent has to say -------------------------------------------------------------------------

    async def _say(self, method: str, **arguments: Any) -> Any:
        """By the first line that carries it."""
        for link in list(self._lines.values()):
            with contextlib.suppress(Unavailable):
                return await link.call(method, timeout_seconds=CALL_SECONDS_MAX, **arguments)
        raise Unavailable("No controller answers.", hint="Wait a moment and try again; nothing was lost.", reason="no-answer")

    async def tell(self, session: str, state: SessionState, why: str) -> None:
        """While no controller is there nothing is lost: the next hello lists every session and its state."""
        with contextlib.suppress(Unavailable, Denied, NotFound, Conflict):
            await self._say("session_state", session=session, state=str(state), why=why)

    async def renew_ticket(self, session: str, epoch: int, *, jkt: str, x5t: str) -> str:
        return str((await self._say("renew_ticket", session=session, epoch=epoch, jkt=jkt, x5t=x5t))["ticket"])

    async def ask(self, method: str, session: str, arguments: dict[str, Any]) -> Any:
        """A question of a session to the controller, which answers for that session alone."""
        return await self._say(method, **{**arguments, "session": session})
