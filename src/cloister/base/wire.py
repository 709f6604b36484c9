"""Calls between processes of one machine: msgpack frames over a UNIX socket, the peer named by the kernel.

Frame: 4-byte big-endian length, then msgpack. Request [id, method, arguments], reply [id, true, result]
or [id, false, error]. Many requests may be under way on one connection. The server learns who calls from
SO_PEERCRED (unix(7)), never from the message. No frame is larger than FRAME_BYTES_MAX.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from cloister.base.errors import Busy, CloisterError, Corrupt, Invalid, Unavailable, from_wire
from cloister.base.telemetry import log

FRAME_BYTES_MAX: Final = 256 * 1024 * 1024
LENGTH_BYTES: Final = 4
CALLS_PER_CONNECTION_MAX: Final = 1024
# From 3.13 on Python would look for a socket's file to remove it: sessions see no files, and whoever made it removes it.
KEEP_FILE: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
BACKLOG: Final = 4096  # all sessions of a server may come at once after a restart; beyond it, connect(2) fails on a UNIX socket


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


Handler = Callable[[Peer, str, dict[str, Any]], Awaitable[Any]]


def peer_of(sock: socket.socket) -> Peer:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", raw))


def pack(message: Any) -> bytes:
    body = msgspec.msgpack.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise Invalid("This is too large to send at once.", hint="Split it into smaller parts.")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Frames:
    """A peer's bytes, cut into messages. Raises Corrupt for what is no frame; the connection is of no use then."""

    __slots__ = ("_held", "_wanted")

    def __init__(self) -> None:
        self._held = bytearray()  # the beginning of a frame
        self._wanted = 0  # bytes until it is whole, so that a large one is not looked at again with every piece

    @property
    def wanted(self) -> int:  # how long the frame is that has begun
        return self._wanted if self._held else 0

    def feed(self, data: bytes) -> list[Any]:
        """The messages that are whole now."""
        held = self._held
        if held:
            held += data
            if len(held) < self._wanted:
                return []
            data = bytes(held)
            held.clear()
        found = []
        at, end = 0, len(data)
        while end - at >= LENGTH_BYTES:
            size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
            if size > FRAME_BYTES_MAX:
                raise Corrupt("A frame on the wire is larger than allowed.")
            self._wanted = LENGTH_BYTES + size
            if end - at < self._wanted:
                break
            try:
                found.append(msgspec.msgpack.decode(data[at + LENGTH_BYTES : at + self._wanted]))
            except (ValueError, RecursionError):
                raise Corrupt("A frame on the wire is no message.") from None
            at += self._wanted
        if at < end:
            held += data[at:]
            if end - at < LENGTH_BYTES:
                self._wanted = LENGTH_BYTES
        return found


class Framed(asyncio.Protocol):
    """One end of a connection. Frames are written as they come; whoever must not flood the other end asks `paused`."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            for message in self._frames.feed(data):
                self.received(message)
        except (CloisterError, ValueError, TypeError):
            self.refused()
            self.transport.close()

    def received(self, message: Any) -> None:
        """One message of the other end; ValueError or TypeError when it is of another form."""
        raise NotImplementedError

    def refused(self) -> None:
        """The other end sent what is no message; the connection ends."""


class _Answering(Framed):
    """The server's end."""

    def __init__(self, handler: Handler, open: set[_Answering]) -> None:
        super().__init__()
        self._handler = handler
        self._open = open
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._peer = peer_of(transport.get_extra_info("socket"))
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)  # what was asked for is done to its end

    def pause_writing(self) -> None:
        self.transport.pause_reading()  # who does not read its answers asks nothing more

    def resume_writing(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def refused(self) -> None:
        log("wire.bad_frame", level="warning", pid=self._peer.pid, uid=self._peer.uid)

    def received(self, message: Any) -> None:
        number, method, arguments = message
        if len(self._tasks) >= CALLS_PER_CONNECTION_MAX:
            self._reply([number, False, Busy("Too many calls at once.").as_wire()])
            return
        task = asyncio.get_running_loop().create_task(self._answer(number, method, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, method: str, arguments: Any) -> None:
        try:
            if not isinstance(arguments, dict):
                raise Invalid("Arguments must be a map.")
            reply = pack([number, True, await self._handler(self._peer, method, arguments)])
        except CloisterError as refused:
            reply = pack([number, False, refused.as_wire()])
        except Exception as fault:  # the process's edge: the fault is ours, its text stays here
            log("wire.fault", level="error", method=method, kind=type(fault).__name__, where=where_of(fault))
            reply = pack([number, False, Corrupt("Something went wrong inside.", hint="See the log.").as_wire()])
        if not self.transport.is_closing():
            self.transport.write(reply)

    def _reply(self, reply: list[Any]) -> None:
        self.transport.write(pack(reply))


class Server:
    """A listener of this wire and its connections."""

    def __init__(self) -> None:
        self.open: set[_Answering] = set()
        self.listener: asyncio.Server

    def close(self) -> None:
        """Takes no further connections; those that are open stay."""
        self.listener.close()

    def hang_up(self) -> None:
        """Ends the open connections, as the death of this process would."""
        for connection in list(self.open):
            connection.transport.abort()

    async def serve_forever(self) -> None:
        await self.listener.serve_forever()


async def serve(where: Path | socket.socket, handler: Handler, *, mode: int = 0o660) -> Server:
    """Answer calls on a UNIX socket (a path, created with `mode`, or a bound listener)."""
    loop, server = asyncio.get_running_loop(), Server()
    if isinstance(where, socket.socket):
        server.listener = await loop.create_unix_server(lambda: _Answering(handler, server.open), sock=where, backlog=BACKLOG, **KEEP_FILE)
        return server
    with contextlib.suppress(FileNotFoundError):
        where.unlink()
    server.listener = await loop.create_unix_server(lambda: _Answering(handler, server.open), path=str(where), backlog=BACKLOG, **KEEP_FILE)
    os.chmod(where, mode)
    return server


def where_of(fault: BaseException) -> str:
    """File and line of the innermost frame: enough to find a bug, without any value."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


class _Calling(Framed):
    """The caller's end."""

    def __init__(self, lost: Callable[[], Unavailable]) -> None:
        super().__init__()
        self._lost = lost
        self._writable: asyncio.Future[None] | None = None
        self.waiting: dict[int, asyncio.Future[Any]] = {}

    async def write(self, frame: bytes) -> None:
        self.transport.write(frame)
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.resume_writing()
        for future in list(self.waiting.values()):
            if not future.done():
                future.set_exception(self._lost())

    def received(self, message: Any) -> None:
        number, good, result = message
        future = self.waiting.get(number)
        if future is None or future.done():
            return
        if good:
            future.set_result(result)
        else:
            future.set_exception(from_wire(result))


class Caller:
    """One connection to a server of this wire; connects at the first call and again after a loss.

    Raises Unavailable, naming the part, when nobody answers; errors of the other side arrive as their category.
    """

    def __init__(self, path: Path, *, part: str) -> None:
        self._path = path
        self._part = part
        self._connection: _Calling | None = None
        self._number = 0
        self._lock = asyncio.Lock()

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        connection = self._connection
        if connection is None or connection.transport.is_closing():
            connection = await self._connected()
        loop = asyncio.get_running_loop()
        self._number += 1
        number = self._number
        frame = pack([number, method, arguments])
        future: asyncio.Future[Any] = loop.create_future()
        connection.waiting[number] = future
        timer = loop.call_later(timeout_seconds, self._expire, future)
        try:
            await connection.write(frame)
            return await future
        finally:
            timer.cancel()
            del connection.waiting[number]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.transport.close()
        self._connection = None

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"The {self._part} does not answer.", hint="Wait a moment and try again; nothing was lost.", reason="no-answer")

    def _expire(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            future.set_exception(self._unavailable())

    async def _connected(self) -> _Calling:
        async with self._lock:
            if self._connection is not None and not self._connection.transport.is_closing():
                return self._connection
            loop = asyncio.get_running_loop()
            try:
                _, self._connection = await loop.create_unix_connection(lambda: _Calling(self._unavailable), str(self._path))
            except OSError as lost:
                raise self._unavailable() from lost
            return self._connection
