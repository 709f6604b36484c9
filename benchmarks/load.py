"""A thin HTTP/1.1 client over TLS for load: one connection a session, so that the client costs less than what it measures."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self

BODY_BYTES_MAX: Final = 64 * 1024 * 1024


class Connection:
    """Keep-alive; one request at a time. Raises ConnectionError when the other end closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = f"host: {host}\r\nauthorization: Bearer {token}\r\naccept: application/fhir+json\r\n"

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext, token: str, host: str = "localhost") -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=host, limit=2**20)
        return cls(reader, writer, f"{host}:{port}", token)

    async def request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        kind = f"content-type: application/fhir+json\r\ncontent-length: {len(body)}\r\n" if body or method != "GET" else ""
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{headers}{kind}\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status, length, chunked = int(lines[0][9:12]), 0, False
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    length = int(value)
                case b"transfer-encoding":
                    chunked = b"chunked" in value
        return status, await self._chunks() if chunked else await self._reader.readexactly(length)

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


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
