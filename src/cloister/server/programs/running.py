"""One run, as the session sees it: its life as a table, and the socket to its keeper."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.base.errors import Conflict, Denied, Unavailable
from cloister.server.programs import channel
from cloister.server.programs.plan import ProgramKind, Rules

HELLO_SECONDS_MAX: Final = 10.0
ANSWER_SECONDS_MAX: Final = 10.0
STARTED_SECONDS_MAX: Final = 30.0


class ProgramState(StrEnum):
    STARTING = "starting"  # namespace, screen and program are being made
    RUNNING = "running"
    ENDED = "ended"


class ProgramEvent(StrEnum):
    RUNNING = "running"
    ENDED = "ended"


_S = ProgramState
NEXT: Final[dict[tuple[ProgramState, ProgramEvent], ProgramState]] = {
    (_S.STARTING, ProgramEvent.RUNNING): _S.RUNNING,
    (_S.STARTING, ProgramEvent.ENDED): _S.ENDED,
    (_S.RUNNING, ProgramEvent.ENDED): _S.ENDED,
    (_S.ENDED, ProgramEvent.ENDED): _S.ENDED,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a run is over: `program` (by itself, with its exit status), `missing` (what is not installed here), `screen`, `memory`,
    `namespace`, `lost` (its keeper died), `asked`, `operator`, `lingered` (nobody looked at it for as long as it may), `zone-lost`, and
    those of a Windows server (remote.ENDS). `said`: the last words of the program, for its person only."""

    why: str
    status: int = 0
    said: str = ""


class Running:
    def __init__(
        self, *, run: str, application: str, title: str, kind: ProgramKind, rules: Rules, on_end: Callable[[Running], None],
        linger_seconds: int = 0,
    ) -> None:  # fmt: skip
        self.run = run
        self.application = application
        self.title = title
        self.kind = kind
        self.rules = rules
        self.linger_seconds = linger_seconds
        self.state = ProgramState.STARTING
        self.ended: Ended | None = None
        self.zones: frozenset[str] = frozenset()
        self.missing: tuple[str, ...] = ()
        self.left_out: tuple[str, ...] = ()
        self._on_end = on_end
        self._channel: socket.socket | None = None
        self._hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._asked: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._number = 0

    # --- life ------------------------------------------------------------------------------------------------

    async def open(self, path: str) -> dict[str, Any]:
        """Connect to the keeper; its first word: {public_key, zones it has folders of}."""
        loop = asyncio.get_running_loop()
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._channel = one
        try:
            await loop.sock_connect(one, path)
            loop.add_reader(one.fileno(), self._read)
            return await asyncio.wait_for(asyncio.shield(self._hello), HELLO_SECONDS_MAX)
        except (OSError, TimeoutError, Unavailable) as lost:
            self.end("lost")
            text = "The program could not be started on this server."
            raise Unavailable(
                text, hint="Try again; if it stays so, tell your IT: the server's log names the cause.", reason="program-start"
            ) from lost

    async def begin(self, zones: Sequence[dict[str, Any]], **wishes: Any) -> None:
        """Start it; returns when it runs or has ended."""
        self.zones = frozenset(str(one["zone"]) for one in zones)
        self._send({"do": "begin", "zones": list(zones), **wishes})
        try:
            await asyncio.wait_for(self._changed.wait(), STARTED_SECONDS_MAX)
        except TimeoutError:
            self.end("screen")

    def end(self, why: str, *, status: int = 0, said: str = "") -> None:
        """Closing the socket is what ends it: the keeper notices, and the kernel ends what is in the namespace."""
        if self._channel is not None:
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        if self.ended is None:
            self.state = NEXT[self.state, ProgramEvent.ENDED]
            self.ended = Ended(why, status, said)
            self._changed.set()
            self._on_end(self)
        lost = Unavailable("The program has ended.", hint="Start it again.", reason="program-ended")
        waiting: list[asyncio.Future[Any]] = [*self._asked.values(), self._hello]
        for future in waiting:
            if not future.done():
                future.set_exception(lost)
                future.exception()  # heard, also when nobody waits
        self._asked.clear()

    # --- asking ------------------------------------------------------------------------------------------------

    async def screen(self) -> socket.socket:
        """A new connection to the program's Xvnc."""
        _, fds = await self._ask("connect")
        return socket.socket(fileno=fds[0])

    async def lay_out(self, layout: str) -> None:
        await self._ask("layout", layout=layout)

    async def new_file(self, name: str) -> tuple[str, int]:
        """(the name it got, a descriptor to write to)."""
        body, fds = await self._ask("put", name=name)
        return str(body["name"]), fds[0]

    async def files(self) -> list[tuple[str, int, int]]:
        """(name, bytes, seconds of its last change)."""
        body, _ = await self._ask("list")
        return [(str(name), int(size), int(changed)) for name, size, changed in body["files"]]

    async def file(self, name: str) -> int:
        _, fds = await self._ask("get", name=name)
        return fds[0]

    async def _ask(self, what: str, **words: Any) -> tuple[dict[str, Any], list[int]]:
        if self.state is not ProgramState.RUNNING:
            raise Conflict("This program does not run.", hint="Start it again.", reason="program-ended")
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._send({"do": what, "n": number, **words})
            body, fds = await asyncio.wait_for(answer, ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise Unavailable("The program does not answer.", hint="End it and start it again.", reason="program-silent") from None
        finally:
            self._asked.pop(number, None)
        if "refused" in body:
            channel.close_all(fds)
            raise Denied(
                f"This was refused: {body['refused']}.", hint="Choose another name, or ask your IT for the rule.", reason="program-refused"
            )
        return body, fds

    def _send(self, body: dict[str, Any]) -> None:
        try:
            if self._channel is None:
                raise OSError
            channel.send(self._channel, body)
        except OSError:
            self._read()  # its last word says why, if it left one
            self.end("lost")

    def _read(self) -> None:
        while self._channel is not None:
            try:
                message = channel.receive(self._channel)
            except BlockingIOError:
                return
            if message is None:
                self.end("lost")
                return
            self._heard(*message)

    def _heard(self, body: dict[str, Any], fds: list[int]) -> None:
        waiting = self._asked.get(int(body.get("n", 0)))
        if waiting is not None and not waiting.done():
            waiting.set_result((body, fds))
            return
        channel.close_all(fds)
        match body.get("event"):
            case "hello":
                self.missing = tuple(map(str, body["missing"]))
                self.left_out = tuple(map(str, body["left_out"]))
                self._hello.set_result(body)
            case "running":
                self.state = NEXT[self.state, ProgramEvent.RUNNING]
                self._changed.set()
            case "ended":
                self.end(str(body["why"])[:32], status=int(body.get("status", 0)), said=str(body.get("text", "")))


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
