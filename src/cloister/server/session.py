"""The session's process, from the fork to its exit: walls first, then serve its slot and its agent until the end.

uvicorn's protocol on the inherited listener, without uvicorn's server, whose tick would keep a thousand idle
sessions awake. Only the edge's account may connect to the slot, only the agent's to the control socket.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import threading
import warnings
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from cloister.base import wire
from cloister.base.errors import Denied, Invalid
from cloister.base.preload import forbid_late_imports
from cloister.base.process import Account, collect_seldom, name_process
from cloister.base.telemetry import log, name_part
from cloister.farm import SessionState
from cloister.server.assignment import Assignment
from cloister.server.hardening import harden
from cloister.server.notices import notice_from_wire
from cloister.server.runtime import SessionRuntime

KEEP_ALIVE_SECONDS: Final = 3600  # longer than Envoy keeps idle connections, so that Envoy closes first
REQUESTS_AT_ONCE_MAX: Final = 512
WEBSOCKET_BYTES_MAX: Final = 1024 * 1024
DRAIN_SECONDS: Final = 0.2


class PeerProtocol(HttpToolsProtocol):
    """HTTP for one peer only: the kernel says who connects (SO_PEERCRED)."""

    edge_uid: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = wire.peer_of(transport.get_extra_info("socket"))
        if self.edge_uid is not None and peer.uid != self.edge_uid:
            log("session.stranger", level="warning", pid=peer.pid, uid=peer.uid)
            transport.abort()
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.transport is not None:  # a stranger's bytes may still arrive before the abort
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            super().connection_lost(exc)


def http_config(shell: Any) -> uvicorn.Config:
    """Loaded in the zygote, shared by every session."""
    config = uvicorn.Config(
        shell, http="httptools", ws="websockets-sansio", ws_max_size=WEBSOCKET_BYTES_MAX, ws_per_message_deflate=False, lifespan="off",
        interface="asgi3", access_log=False, log_config=None, proxy_headers=False, server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, limit_concurrency=REQUESTS_AT_ONCE_MAX,
    )  # fmt: skip
    config.load()
    return config


async def serve_http(config: uvicorn.Config, listener: socket.socket, edge_uid: int | None) -> asyncio.Server:
    protocol = type("SlotProtocol", (PeerProtocol,), {"edge_uid": edge_uid})
    state = ServerState()
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(lambda: protocol(config=config, server_state=state, app_state={}), sock=listener, **wire.KEEP_FILE)


def control_handler(runtime: SessionRuntime) -> wire.Handler:
    """What the agent may ask of a session. It carries sealed unlock messages; it can open none."""

    async def answer(peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        if peer.uid != runtime.assignment.agent_uid:
            raise Denied("Only the agent speaks here.", reason="peer")
        match method:
            case "hello":
                facts = {"state": str(runtime.state), "epoch": runtime.epoch, "missing": list(runtime.missing)}
                return {"session": runtime.session, "public_key": runtime.public_key, **facts}
            case "rejoin":
                key = runtime.rejoin(int(arguments["epoch"]), str(arguments.get("where", "")))
                return {"public_key": key, "unlocked": runtime.state is SessionState.ACTIVE}
            case "refuse":
                runtime.refuse(int(arguments["epoch"]), str(arguments["grant"])[:64])
                return {}
            case "unlock":
                await runtime.unlock(str(arguments["unlocker"]), bytes(arguments["sealed"]))
                return {"state": str(runtime.state)}
            case "lock":
                runtime.lock(str(arguments.get("reason", "locked"))[:64])
                return {}
            case "renew":
                await runtime.renew()
                return {}
            case "nudge":
                return {"pages": runtime.pages.tell("look", what="shadow")}
            case "rules":
                await runtime.rules_changed()
                return {}
            case "message":
                return {"pages": runtime.tell(notice_from_wire(arguments))}
            case "end":
                reason = str(arguments["reason"])[:64]
                if arguments.get("gracefully"):
                    await runtime.end_gracefully(reason)
                runtime.end(reason)
                return {}
        raise Invalid("A session has no such method.", reason="method")

    return answer


def silence_libraries() -> None:
    """Their log lines and stacks may quote what they worked on; ours name the kind of a fault and its place, no value."""
    logging.disable(logging.CRITICAL)
    sys.excepthook = lambda kind, fault, trace: _log_fault("session.fault", fault)
    threading.excepthook = lambda fault: _log_fault("session.thread_fault", fault.exc_value)
    warnings.simplefilter("ignore")


def _log_fault(event: str, fault: BaseException | None) -> None:
    if fault is not None:
        log(event, level="error", kind=type(fault).__name__, where=wire.where_of(fault))


def _loop_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log_fault("session.task_fault", context.get("exception"))


async def live(
    runtime: SessionRuntime,
    assignment: Assignment,
    config: uvicorn.Config,
    listener: socket.socket,
    control: socket.socket,
    missing: tuple[str, ...],
) -> None:
    """Serve until the session has ended. `missing` are the walls that could not be put up."""
    runtime.begin(assignment, missing)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_loop_fault)
    loop.add_signal_handler(signal.SIGTERM, runtime.end, "stopped")
    http = await serve_http(config, listener, assignment.edge_uid)
    calls = await wire.serve(control, control_handler(runtime))
    await runtime.ended.wait()
    http.close()
    calls.close()
    await asyncio.sleep(DRAIN_SECONDS)  # the last answer leaves


def run(runtime: SessionRuntime, assignment: Assignment, config: uvicorn.Config, listener: socket.socket, control: socket.socket) -> int:
    """The child's main; its value is the exit status."""
    name_part(f"session-{assignment.slot}")
    name_process(f"session-{assignment.slot}")
    silence_libraries()
    gc.enable()  # what came before the fork is frozen, so it stays shared
    collect_seldom()
    try:
        # The walls stand before anything of the person's exists, and before the loop: it then finds no io_uring, and does without.
        missing = harden(Account(f"session-{assignment.slot}", assignment.uid, assignment.gid))
        forbid_late_imports()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(live(runtime, assignment, config, listener, control, missing))
    except Exception as fault:  # the process's edge
        _log_fault("session.fault", fault)
        return 1
    return 0
