"""The zygote: has imported and warmed the whole application, and forks a session for each request of its agent.

It holds no key and serves nobody. Its control socket is its lifeline: when the agent goes, the zygote goes;
sessions stay. Requests and replies are one SEQPACKET message each, sockets and pidfds travel as SCM_RIGHTS.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

import msgpack
import uvicorn
import uvloop

from cloister.base.process import Account, name_process, return_free_memory
from cloister.base.telemetry import log, name_part
from cloister.server import session
from cloister.server.assignment import Assignment, assignment_from_wire
from cloister.server.hardening import harden, swap_in_use
from cloister.server.runtime import SessionRuntime
from cloister.server.shell import Asgi, Shell
from cloister.server.warming import warm_keys, warm_session
from cloister.zones import TrustRoots

MESSAGE_BYTES_MAX: Final = 65_536
LISTENER_FD: Final = 3
CONTROL_FD: Final = 4
PROBE_UID: Final = 209_999  # nobody's

Application = Callable[[SessionRuntime], Asgi]
Warm = Callable[[Asgi], Coroutine[Any, Any, None]]
Refresh = Callable[[], bool]  # loads anew what has changed on disk, and says whether anything had


def run_zygote(
    control: socket.socket, *, application: Application, trust: TrustRoots, warm: Warm | None = None, refresh: Refresh | None = None
) -> NoReturn:
    """Build the application around a blank runtime, warm it, and fork until the agent is gone; `refresh` goes before each fork."""
    name_part("zygote")
    name_process("zygote")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which stops its parts in order
    runtime = SessionRuntime(trust=trust)
    app = application(runtime)
    shell = Shell(app, runtime)
    config = session.http_config(shell)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:  # as in a session
        loop.run(warm_session(config))
    warm_keys()
    if warm is not None:
        asyncio.run(warm(app))
    missing = [*_probe_walls(), *swap_in_use()]
    if threading.active_count() != 1:
        log("zygote.threads", level="warning", threads=threading.active_count())  # a thread is lost in the fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; the agent watches pidfds
    _settle()
    socket.send_fds(control, [msgpack.packb({"ready": True, "missing": missing})], [])
    while True:
        packet, fds, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, 2)
        if not packet:
            sys.exit(0)
        assignment = assignment_from_wire(msgpack.unpackb(packet))
        if refresh is not None and refresh():
            _settle()
        pid = os.fork()
        if pid == 0:
            _become_session(runtime, assignment, config, fds)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(control, [msgpack.packb({"pid": pid})], [pidfd])
        for fd in (*fds, pidfd):
            os.close(fd)


def _settle() -> None:
    """What is here now will never be freed: keep the collector from touching it, so that its pages stay shared."""
    gc.collect()
    return_free_memory()
    gc.disable()
    gc.freeze()


def _become_session(runtime: SessionRuntime, assignment: Assignment, config: uvicorn.Config, fds: list[int]) -> NoReturn:
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener, control = _only_own_descriptors(fds)
        status = session.run(runtime, assignment, config, listener, control)
    finally:
        os._exit(status)  # nothing of the zygote's exit may run here


def _only_own_descriptors(fds: list[int]) -> tuple[socket.socket, socket.socket]:
    """The slot and the control socket as 3 and 4, the log as 2, nothing on 0 and 1, and no other."""
    high = [os.dup2(fd, 1000 + n, inheritable=False) for n, fd in enumerate(fds)]
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    for source, fd in zip(high, (LISTENER_FD, CONTROL_FD), strict=True):
        os.dup2(source, fd, inheritable=False)
    os.closerange(CONTROL_FD + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=LISTENER_FD), socket.socket(fileno=CONTROL_FD)


def _probe_walls() -> list[str]:
    """Wall in a child that does nothing, to learn before the first session what this machine lacks."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer: Any = None
        try:
            answer = list(harden(Account("probe", PROBE_UID, PROBE_UID)))
        except OSError as refused:
            answer = [f"walls of a session: {refused.strerror}"]
        finally:
            os.write(writing, msgpack.packb(answer))
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(MESSAGE_BYTES_MAX)
    os.waitpid(pid, 0)
    return [str(line) for line in msgpack.unpackb(answer)] if answer else ["walls of a session: the probe was killed"]


def control_socket(fd: int) -> socket.socket:
    """The control socket that the agent left open at this number."""
    return socket.socket(fileno=fd)
