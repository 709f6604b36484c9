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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from cloister.base.errors import Busy, CloisterError, Corrupt, Invalid, Unavailable, from_wire
from cloister.base.telemetry import log

FRAME_BYTES_MAX: Final = 256 * 1024 * 1024
CALLS_PER_CONNECTION_MAX: Final = 1024


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
    body: bytes = msgpack.packb(message, use_bin_type=True)
    if len(body) > FRAME_BYTES_MAX:
        raise Invalid("This is too large to send at once.", hint="Split it into smaller parts.")
    return struct.pack(">I", len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Any:
    (size,) = struct.unpack(">I", await reader.readexactly(4))
    if size > FRAME_BYTES_MAX:
        raise Corrupt("A frame on the wire is larger than allowed.")
    body = await reader.readexactly(size)
    return msgpack.unpackb(body, raw=False, strict_map_key=False)


async def serve(where: Path | socket.socket, handler: Handler, *, mode: int = 0o660) -> asyncio.Server:
    """Answer calls on a UNIX socket (a path, created with `mode`, or a bound listener)."""

    async def answer(peer: Peer, writer: asyncio.StreamWriter, number: int, method: str, arguments: Any) -> None:
        try:
            if not isinstance(arguments, dict):
                raise Invalid("Arguments must be a map.")
            reply = [number, True, await handler(peer, method, arguments)]
        except CloisterError as refused:
            reply = [number, False, refused.as_wire()]
        except Exception as fault:  # the process's edge: the fault is ours, its text stays here
            log("wire.fault", level="error", method=method, kind=type(fault).__name__, where=where_of(fault))
            reply = [number, False, Corrupt("Something went wrong inside.", hint="See the log.").as_wire()]
        with contextlib.suppress(ConnectionError):
            writer.write(pack(reply))
            await writer.drain()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                number, method, arguments = await read_frame(reader)
                if len(tasks) >= CALLS_PER_CONNECTION_MAX:
                    writer.write(pack([number, False, Busy("Too many calls at once.").as_wire()]))
                    continue
                task = asyncio.create_task(answer(peer, writer, number, method, arguments))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the process stops; asyncio would log a stack for each connection otherwise
        except (CloisterError, ValueError, TypeError, msgpack.UnpackException):
            log("wire.bad_frame", level="warning", pid=peer.pid, uid=peer.uid)
        finally:
            writer.close()

    if isinstance(where, socket.socket):
        return await asyncio.start_unix_server(connected, sock=where, limit=2**20)
    with contextlib.suppress(FileNotFoundError):
        where.unlink()
    server = await asyncio.start_unix_server(connected, path=str(where), limit=2**20)
    os.chmod(where, mode)
    return server


def where_of(fault: BaseException) -> str:
    """File and line of the innermost frame: enough to find a bug, without any value."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


class Caller:
    """One connection to a server of this wire; connects at the first call and again after a loss.

    Raises Unavailable, naming the part, when nobody answers; errors of the other side arrive as their category.
    """

    def __init__(self, path: Path, *, part: str) -> None:
        self._path = path
        self._part = part
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        writer = await self._connected()
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            writer.write(pack([number, method, arguments]))
            await writer.drain()
            async with asyncio.timeout(timeout_seconds):
                return await future
        except (ConnectionError, TimeoutError) as lost:
            raise self._unavailable() from lost
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"The {self._part} does not answer.", hint="Wait a moment and try again; nothing was lost.", reason="no-answer")

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._lock:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=2**20)
            except OSError as lost:
                raise self._unavailable() from lost
            self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                number, good, result = await read_frame(reader)
                future = self._waiting.get(number)
                if future is None or future.done():
                    continue
                if good:
                    future.set_result(result)
                else:
                    future.set_exception(from_wire(result))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, CloisterError):
            pass
        finally:
            writer.close()
            for future in list(self._waiting.values()):
                if not future.done():
                    future.set_exception(self._unavailable())
