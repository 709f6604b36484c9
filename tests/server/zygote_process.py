"""A zygote with a tiny application; /try/* makes the session attempt what it must not be able to do."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from cloister.server import SessionRuntime, control_socket, run_zygote
from cloister.zones import TrustRoots

libc = ctypes.CDLL(None, use_errno=True)


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2)
        sock.connect(path)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        if not sock.recv(100):
            raise ConnectionResetError(errno.ECONNRESET, "closed")


def call(number: int, *arguments: int) -> None:
    if libc.syscall(number, *(ctypes.c_long(a) for a in arguments)) < 0:
        raise OSError(ctypes.get_errno(), "syscall")


def tcp(port: str) -> None:
    socket.create_connection(("127.0.0.1", int(port)), timeout=2)


def thread(_: str) -> None:
    worker = threading.Thread(target=int)
    worker.start()
    worker.join()


def late_import(_: str) -> None:
    try:
        import wsgiref.validate  # noqa: F401
    except ImportError:
        raise OSError(errno.EACCES, "import") from None


ATTEMPTS: dict[str, Callable[[str], Any]] = {
    "open": lambda what: Path(what).read_bytes(),
    "list": os.listdir,
    "stat": os.stat,
    "write": lambda what: Path(what).write_bytes(b"x"),
    "signal": lambda what: os.kill(int(what), signal.SIGTERM),
    "pidfd": lambda what: signal.pidfd_send_signal(os.pidfd_open(int(what)), signal.SIGTERM),
    "connect": connect,
    "abstract": lambda what: connect("\0" + what),
    "tcp": tcp,
    "fork": lambda what: os.fork(),
    "thread": thread,
    "ptrace": lambda what: call(101, 16, int(what), 0, 0),
    "vm-read": lambda what: call(310, int(what), 0, 0, 0, 0, 0),
    "exec": lambda what: os.execv(what, [what]),
    "root": lambda what: os.setresuid(0, 0, 0),
    "dumpable": lambda what: call(157, 4, 1, 0, 0, 0),
    "executable-memory": lambda what: call(9, 0, 4096, 7, 0x22, -1, 0),
    "late-import": late_import,
}


def application(runtime: SessionRuntime) -> Starlette:
    opened: list[str] = []

    async def on_open(keyring: Any, actor: Any, gate: Any) -> None:
        opened.append(actor.name)

    runtime.on_open(on_open)
    runtime.on_lock(opened.clear)

    async def who(request: Request) -> JSONResponse:
        me = request.state.runtime.actor
        return JSONResponse({"name": me.name, "pid": os.getpid(), "opened": opened, "zones": [z.zone for z in runtime.keyring.zones]})

    async def attempt(request: Request) -> PlainTextResponse:
        try:
            ATTEMPTS[request.path_params["what"]](request.query_params.get("on", ""))
        except OSError as refused:
            return PlainTextResponse(errno.errorcode.get(refused.errno or 0, type(refused).__name__))
        return PlainTextResponse("done")

    async def fail(request: Request) -> PlainTextResponse:
        raise ValueError("Mrs Lopez has a secret")

    return Starlette(routes=[Route("/fail", fail), Route("/", who), Route("/fhir/R4/Patient", who), Route("/try/{what}", attempt)])


async def warm(app: Any) -> None:
    return None


if __name__ == "__main__":
    pinned = json.loads(os.environ["SMALL_TRUST"])
    roots = TrustRoots(pinned["id"], bytes.fromhex(pinned["certificate"]), bytes.fromhex(pinned["access"]))
    run_zygote(control_socket(int(sys.argv[-1])), application=application, trust=roots, warm=warm)
