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
from cloister.server import cgroups, session
from cloister.server.assignment import Assignment, assignment_from_wire
from cloister.server.hardening import harden, swap_in_use
from cloister.server.programs.keeper import run_keeper
from cloister.server.programs.plan import plan_from_wire
from cloister.server.runtime import SessionRuntime
from cloister.server.shell import Asgi, Shell
from cloister.server.warming import warm_keys, warm_session
from cloister.zones import TrustRoots

MESSAGE_BYTES_MAX: Final = 65_536
FIRST_FD: Final = 3
PROBE_UID: Final = 209_999  # nobody's

Application = Callable[[SessionRuntime], Asgi]
Warm = Callable[[Asgi], Coroutine[Any, Any, None]]
Refresh = Callable[[], bool]  # loads anew what has changed on disk, and says whether anything had


def run_zygote(
    control: socket.socket,
    *,
    application: Application,
    trust: TrustRoots,
    origins: tuple[str, ...] = (),
    warm: Warm | None = None,
    refresh: Refresh | None = None,
) -> NoReturn:
    """Build the application around a blank runtime, warm it, and fork until the agent is gone; `refresh` goes before each fork."""
    name_part("zygote")
    name_process("zygote")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which stops its parts in order
    runtime = SessionRuntime(trust=trust, origins=origins)
    app = application(runtime)
    shell = Shell(app, runtime)
    config = session.http_config(shell)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:  # as in a session
        loop.run(warm_session(config))
    warm_keys()
    if warm is not None:
        asyncio.run(warm(app))
    missing = [*_probe_walls(), *cgroups.prepare(cgroups.find()), *swap_in_use()]
    if threading.active_count() != 1:
        log("zygote.threads", level="warning", threads=threading.active_count())  # a thread is lost in the fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; the agent watches pidfds
    _settle()
    socket.send_fds(control, [msgpack.packb({"ready": True, "missing": missing})], [])
    while True:
        packet, fds, _, _ = socket.recv_fds(control, MESSAGE_BYTES_MAX, 2)
        if not packet:
            sys.exit(0)
        request = msgpack.unpackb(packet)
        if refresh is not None and "program" not in request and refresh():
            _settle()
        pid = os.fork()
        if pid == 0 and "program" in request:
            _become_keeper(request["program"], fds)
        if pid == 0:
            _become_session(runtime, assignment_from_wire(request), config, fds)
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


def _become_keeper(plan: dict[str, Any], fds: list[int]) -> NoReturn:
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        (listener,) = _only_own_descriptors(fds)
        run_keeper(plan_from_wire(plan), listener)
    finally:
        os._exit(1)


def _only_own_descriptors(fds: list[int]) -> tuple[socket.socket, ...]:
    """These from 3 on (a session's slot and control socket, a keeper's listener), the log as 2, nothing on 0 and 1, and no other."""
    high = [os.dup2(fd, 1000 + n, inheritable=False) for n, fd in enumerate(fds)]
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    for number, source in enumerate(high):
        os.dup2(source, FIRST_FD + number, inheritable=False)
    os.closerange(FIRST_FD + len(fds), os.sysconf("SC_OPEN_MAX"))
    return tuple(socket.socket(fileno=FIRST_FD + number) for number in range(len(fds)))


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
