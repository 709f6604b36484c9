"""A thin HTTP/1.1 client over TLS for load: it must cost less than what it measures, because it runs on the same processors."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self

HEAD_END: Final = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """Keep-alive; one request at a time. Raises ConnectionError when the other end closes."""

    def __init__(self, host: str, token: str) -> None:
        self._head = f"host: {host}\r\nauthorization: Bearer {token}\r\naccept: application/fhir+json\r\n"
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._buffer = bytearray()

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext, token: str, host: str = "localhost") -> Self:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(f"{host}:{port}", token), "127.0.0.1", port, ssl=tls, server_hostname=host)
        return connection

    async def request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        kind = f"content-type: application/fhir+json\r\ncontent-length: {len(body)}\r\n" if body or method != "GET" else ""
        self._waiting = asyncio.get_running_loop().create_future()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{headers}{kind}\r\n"
        self._transport.write(head.encode() + body)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the other end closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answer = _answer(self._buffer)
        if answer is not None and self._waiting is not None and not self._waiting.done():
            self._buffer.clear()
            self._waiting.set_result(answer)


def _answer(buffer: bytearray) -> tuple[int, bytes] | None:
    """(status, body) once all of it is there."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    status, start = int(head[9:12]), end + len(HEAD_END)
    place = head.find(b"\r\ncontent-length:")
    if place >= 0:
        length = int(head[place + 17 :].partition(b"\r\n")[0])
        return (status, bytes(buffer[start : start + length])) if len(buffer) >= start + length else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return _chunked(status, buffer, start)
    return status, b""


def _chunked(status: int, buffer: bytearray, place: int) -> tuple[int, bytes] | None:
    parts = []
    while (line := buffer.find(b"\r\n", place)) >= 0:
        size = int(buffer[place:line], 16)
        if len(buffer) < line + size + 4:
            return None
        if size == 0:
            return status, b"".join(parts)
        parts.append(bytes(buffer[line + 2 : line + 2 + size]))
        place = line + size + 4
    return None


Work = Callable[[Connection, int], Awaitable[None]]


async def paced(connections: Sequence[Connection], work: Work, *, seconds: float, each_per_second: float) -> tuple[float, list[float]]:
    """(work a second, milliseconds of each): people who do something now and then, evenly spread. Late starts count as waiting."""
    times: list[float] = []
    began = time.perf_counter()
    interval = 1 / each_per_second

    async def person(number: int, connection: Connection) -> None:
        turn = 0
        while (due := (turn + number / len(connections)) * interval) < seconds:
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            await work(connection, turn)
            times.append((time.perf_counter() - began - due) * 1000)
            turn += 1

    await asyncio.gather(*(person(number, connection) for number, connection in enumerate(connections)))
    return len(times) / (time.perf_counter() - began), times


async def saturated(connections: Sequence[Connection], work: Work, *, seconds: float) -> tuple[float, list[float]]:
    """(work a second, milliseconds of each): everybody goes on as soon as the answer is there."""
    times: list[float] = []
    began = time.perf_counter()

    async def person(number: int, connection: Connection) -> None:
        turn = number
        while (start := time.perf_counter()) < began + seconds:
            await work(connection, turn)
            times.append((time.perf_counter() - start) * 1000)
            turn += 1

    await asyncio.gather(*(person(number, connection) for number, connection in enumerate(connections)))
    return len(times) / (time.perf_counter() - began), times
