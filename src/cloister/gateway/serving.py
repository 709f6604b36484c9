"""Serve an ASGI application on a UNIX socket, without the server around it that wakes ten times a second."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn
import uvicorn.lifespan.off  # what `Config.load` would import later, when this process can no longer read the environment
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from cloister.base import wire

KEEP_ALIVE_SECONDS: Final = 3600  # longer than Envoy keeps an idle connection, so that Envoy is the one who closes


async def serve_application(application: Callable[..., Any], listener: socket.socket) -> asyncio.Server:
    configuration = uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    configuration.load()
    state = ServerState()
    return await asyncio.get_running_loop().create_unix_server(
        lambda: HttpToolsProtocol(config=configuration, server_state=state, app_state={}), sock=listener, **wire.KEEP_FILE
    )
