"""A controller's lines to the agents of servers: who is connected, how a call reaches a server, and when a server is lost.

A line that breaks is nothing yet: an agent starts again in a second and its sessions live. Lost is a server whose machine does
not answer either, or whose agent stayed away for long, and which no other controller hears. Then its sessions are ended by
name, so that their people are placed elsewhere; should the server come back, what it still has of them is ended there, or
goes on if nobody has come back for it meanwhile (reports.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Denied, NotFound, Unavailable
from cloister.base.telemetry import log
from cloister.farm.enrolment import Enrolment
from cloister.farm.machine_store import MachineStore
from cloister.farm.machines import Shown, shown
from cloister.machines import Link

LOOKS_AFTER: Final = (0.3, 0.7, 1.1)  # seconds after an agent is gone: looks at its machine
AGENT_AWAY_SECONDS_MAX: Final = 10.0
WAIT_SECONDS_MAX: Final = 6.0
SWEEP_SECONDS: Final = 1.0
LOST_AGAIN_SECONDS: Final = 0.5
SIGNED_ANEW: Final = timedelta(hours=1)  # a revocation list is good for a day

Reported = Callable[[str, str, dict[str, Any]], Awaitable[Any]]  # server, method, arguments
Reachable = Callable[[str, int], Awaitable[bool]]


@dataclass(slots=True)
class Line:
    """One server, as this controller knows it."""

    link: Link | None = None
    address: str = ""
    port: int = 0
    folder: str = ""  # of its slots, as its own Envoy knows them
    lost: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Lines:
    def __init__(
        self, own: str, *, enrolment: Enrolment, store: MachineStore, reported: Reported, reachable: Reachable, clock: Clock, keeper: bool,
        placed: Callable[[list[dict[str, Any]]], None],
    ) -> None:  # fmt: skip
        """`own`: this controller's machine. `placed` hears of every change of place; `reachable` says whether an ingress answers."""
        self._own = own
        self._enrolment = enrolment
        self._store = store
        self._reported = reported
        self._reachable = reachable
        self._clock = clock
        self._keeper = keeper
        self._placed = placed
        self._lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.revocations = b""

    # --- machines call (base.between) ------------------------------------------------------------------

    async def answer(self, link: Link, method: str, arguments: dict[str, Any]) -> Any:
        if method == "authority":
            return self._enrolment.authority()
        if method == "join":
            return await self._enrolment.join(arguments)
        seen: Shown = link.peer or shown(link.certificate)
        if link.peer is None or method in ("hello", "renew"):
            await self._enrolment.stands(seen)
            link.peer = seen
        if method == "renew":
            return await self._enrolment.renew(seen, arguments)
        if method == "estate":
            return {"controllers": await self._enrolment.controllers(), "revocations": self.revocations}
        if method == "hello":
            return await self._hello(link, seen, arguments)
        return await self._reported(seen.machine, method, arguments)

    async def _hello(self, link: Link, seen: Shown, arguments: dict[str, Any]) -> Any:
        if arguments.get("server") != seen.machine:
            raise Denied("A server speaks for itself only.", reason="machine-other")
        line = self._lines.setdefault(seen.machine, Line())
        line.address, line.port = str(arguments.pop("address")), int(arguments.pop("port"))
        line.folder = str(arguments.pop("folder"))
        await self._store.set_place(seen.machine, line.address, line.port)
        reply = await self._reported(seen.machine, "hello", arguments)
        await self._store.add_line(seen.machine, self._own)
        before, line.link, line.lost = line.link, link, False
        if before is not None and before is not link:
            before.close()
        line.tell()
        return {**reply, "controllers": await self._enrolment.controllers(), "revocations": self.revocations}

    def broken(self, link: Link) -> None:
        """The connection is gone (base.between tells)."""
        if link.peer is None:
            return
        line = self._lines.get(link.peer.machine)
        if line is not None and line.link is link:
            line.link = None
            line.tell()
            self._later(self._away(link.peer.machine, line))

    # --- the broker calls --------------------------------------------------------------------------------

    def to(self, server: str) -> ToServer:
        return ToServer(self, server)

    def host(self, server: str) -> str:
        """The `host` of a ticket: where the edge finds the server's ingress."""
        line = self._known(server)
        return f"[{line.address}]:{line.port}" if ":" in line.address else f"{line.address}:{line.port}"

    def slot(self, server: str, slot: int) -> str:
        """The `dst` of a ticket: the slot's socket on that server."""
        return f"{self._known(server).folder}/slots/{slot}.sock"

    def _known(self, server: str) -> Line:
        line = self._lines.get(server)
        if line is None or not line.folder:
            raise Unavailable(f"The server '{server}' does not answer here.", hint="Try again in a moment.", reason="server-silent")
        return line

    async def call(self, server: str, method: str, timeout_seconds: float, arguments: dict[str, Any]) -> Any:
        """To the agent, waiting for one that is away for a moment. NotFound for a session of a server that is lost."""
        line = self._lines.setdefault(server, Line())
        deadline = asyncio.get_running_loop().time() + min(WAIT_SECONDS_MAX, timeout_seconds)
        while True:
            if line.link is not None:
                try:
                    return await line.link.call(method, timeout_seconds=timeout_seconds, **arguments)
                except Unavailable:
                    if line.link is not None or method != "rejoin":
                        raise
                    continue
            if line.lost:
                raise self._gone(server, method)
            left, changed = deadline - asyncio.get_running_loop().time(), line.changed
            if left <= 0:
                raise Unavailable(f"The server '{server}' does not answer.", hint="Try again in a moment.", reason="server-silent")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)

    def _gone(self, server: str, method: str) -> CloisterError:
        if method == "spawn":
            return Unavailable(f"The server '{server}' is lost.", hint="Try again.", reason="server-lost")
        return NotFound(f"The server '{server}' is lost, and this session with it.", hint="Sign in again.", reason="server-lost")

    # --- what becomes of a server that is away -----------------------------------------------------------

    async def _away(self, server: str, line: Line) -> None:
        log("lines.broken", level="warning", server=server)
        with contextlib.suppress(CloisterError):
            await self._store.drop_line(server, self._own)
        if await self._removed(server):  # its ingress may answer as long as it likes
            await self._lose(server, line)
            return
        began = asyncio.get_running_loop().time()
        answered = await self._answered(line)
        if line.link is not None:
            return
        if not answered:
            await self._lose(server, line)
            return
        while line.link is None and asyncio.get_running_loop().time() - began < AGENT_AWAY_SECONDS_MAX:
            await asyncio.sleep(0.5)
            if line.link is None and not await self._reachable(line.address, line.port):
                break
        await self._lose(server, line)

    async def _answered(self, line: Line) -> bool:
        """Whether a look finds the machine, or its agent is back. Looks overlap: each may take as long as a slow machine does."""

        async def look(after: float) -> bool:
            await asyncio.sleep(after)
            return line.link is not None or await self._reachable(line.address, line.port)

        looks = [asyncio.create_task(look(after)) for after in LOOKS_AFTER]
        try:
            for one in asyncio.as_completed(looks):
                if await one:
                    return True
            return False
        finally:
            for task in looks:
                task.cancel()

    async def _removed(self, server: str) -> bool:
        with contextlib.suppress(CloisterError):
            return all(place["id"] != server for place in await self._store.places())
        return False

    async def _lose(self, server: str, line: Line) -> None:
        """Until it is done, or the server is back, or removed from sight by another controller that hears it."""
        while line.link is None:
            with contextlib.suppress(CloisterError):
                ended = await self._store.lose(server)
                if ended is not None:
                    line.lost = True
                    line.tell()
                    log("lines.server_lost", level="error", server=server, sessions=len(ended))
                    return
            await asyncio.sleep(LOST_AGAIN_SECONDS)

    # --- all the time ------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Say that this controller lives, and hang up on machines that were removed or whose certificate was replaced."""
        await self._begin()
        known: list[str] | None = None
        where: list[dict[str, Any]] = []
        signed = self._clock()
        while True:
            try:
                await self._store.beat(self._own, keeper=self._keeper)
                revoked, places = await self._store.revoked(), await self._store.places()
                self._hang_up(frozenset(revoked))
                if revoked != known or self._clock() - signed > SIGNED_ANEW:
                    self.revocations, known, signed = await self._enrolment.revocations(), revoked, self._clock()
                if places != where:
                    self._placed(places)
                    where = places
            except CloisterError as away:
                log("lines.no_database", level="warning", reason=away.reason or away.category)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _begin(self) -> None:
        """Lines of this controller's last life are none; servers that do not come back to it are looked for."""
        while True:
            try:
                await self._store.beat(self._own, keeper=self._keeper)
                await self._store.drop_lines(self._own)
                for place in await self._store.places():
                    line = self._lines.setdefault(place["id"], Line())
                    if line.link is None:
                        line.address, line.port = place["address"], place["port"]
                        self._later(self._away_at_start(place["id"], line))
                return
            except CloisterError:
                await asyncio.sleep(SWEEP_SECONDS)

    async def _away_at_start(self, server: str, line: Line) -> None:
        await asyncio.sleep(AGENT_AWAY_SECONDS_MAX / 2)
        if line.link is None:
            await self._away(server, line)

    def _hang_up(self, revoked: frozenset[str]) -> None:
        for line in self._lines.values():
            seen: Shown | None = line.link.peer if line.link is not None else None
            if line.link is not None and seen is not None and (seen.serial in revoked or seen.ends < self._clock()):
                log("lines.refused", level="warning", server=seen.machine)
                line.link.close()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class ToServer:
    """The broker's AgentCalls of one server."""

    lines: Lines
    server: str

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        return await self.lines.call(self.server, method, timeout_seconds, arguments)
