"""Whether a part answers: asked by the supervisor while starting."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from cloister.assemble.edge import plan_of
from cloister.base.settings import Settings

PROBE_SECONDS: Final = 2.0


async def listens(path: Path) -> bool:
    """Somebody accepts connections on this UNIX socket."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_unix_connection(str(path))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_ok(path: Path, target: str) -> bool:
    """GET answers 200 over a UNIX socket."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200" in status


async def controller_answers(settings: Settings) -> bool:
    return await listens(settings.socket("controller")) and await http_ok(settings.socket("door"), "/login/keys")


async def edge_answers(settings: Settings) -> bool:
    """Envoy has its keys and listens."""
    if not await http_ok(plan_of(settings).admin_socket, "/ready"):
        return False
    return await accepts(settings.address, settings.port)


async def accepts(address: str, port: int) -> bool:
    """Somebody accepts connections there."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False
