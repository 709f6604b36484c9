"""Run, once and before the first fork, what every session will run: its pages are then shared and its imports done."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import traceback
from pathlib import Path
from typing import Any, Final

import uvicorn

from cloister.base import wire
from cloister.base.errors import Unavailable
from cloister.server import session
from cloister.zones import algorithms

REQUESTS: Final = (b"GET /session/state HTTP/1.1\r\nhost: warm\r\nx-cloister-sid: warm\r\n\r\n",)


async def warm_session(config: uvicorn.Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await _warm_http(config, Path(folder) / "http")
        await _warm_wire(Path(folder) / "wire")
    seed = algorithms.random(32)
    private = algorithms.KemPrivate(seed)
    private.open(algorithms.kem_seal(private.public, b"warm", b"warm"), b"warm")
    algorithms.verify(algorithms.sign_public(seed), b"warm", algorithms.sign(seed, b"warm"))
    algorithms.aead_open(seed, algorithms.aead_seal(seed, b"warm", b""), b"")
    try:
        raise Unavailable("warm")
    except Unavailable as fault:
        traceback.format_exception(fault)
    await asyncio.to_thread(len, "")


async def _warm_http(config: uvicorn.Config, path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    server = await session.serve_http(config, listener, None)
    for request in REQUESTS:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(4096), 5)
        writer.close()
    server.close()


async def _warm_wire(path: Path) -> None:
    async def answer(peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        if method == "no":
            raise Unavailable("warm")
        return arguments

    server = await wire.serve(path, answer)
    caller = wire.Caller(path, part="warm")
    await caller.call("yes", a=b"1", b=[1, "2", None])
    with contextlib.suppress(Unavailable):
        await caller.call("no")
    caller.close()
    server.close()
    await asyncio.sleep(0)
