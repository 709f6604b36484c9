"""The agent's end of the zygote: starts it, asks it for forks, starts it again when it dies. Sessions outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from cloister.base.errors import Unavailable
from cloister.base.telemetry import log
from cloister.server.assignment import Assignment
from cloister.server.slots import Listeners

MESSAGE_BYTES_MAX: Final = 65_536
WARM_SECONDS_MAX: Final = 60.0
FORK_SECONDS_MAX: Final = 10.0
RESTART_SECONDS: Final = (0.1, 0.5, 2.0, 5.0)
STEADY_SECONDS: Final = 30.0  # a zygote that lived this long starts the waiting times anew


@dataclass(frozen=True, slots=True)
class Forked:
    pid: int
    pidfd: int


class ZygoteLink:
    """`command` is run with the number of an open SEQPACKET socket as its last argument."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._socket: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.warm = asyncio.Event()
        self._turn = asyncio.Lock()
        self.missing: tuple[str, ...] = ()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def keep(self) -> None:
        """Run the zygote until cancelled; each death is reported by name."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                status = await self._run_once()
            except (OSError, Unavailable, msgpack.UnpackException) as fault:
                status = -1
                log("zygote.failed", level="error", kind=type(fault).__name__)
            failures = 0 if asyncio.get_running_loop().time() - began > STEADY_SECONDS else failures + 1
            log("zygote.died", level="error", status=status, failures=failures)
            await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS)) - 1])

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                fd = theirs.fileno()
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, str(fd), pass_fds=(fd,), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
                )
            hello, _ = await asyncio.wait_for(_receive(ours), WARM_SECONDS_MAX)
            self.missing = tuple(hello["missing"])
            self._socket = ours
            self.warm.set()
            log("zygote.ready", zygote=self._process.pid, missing=len(self.missing))
            return await self._process.wait()
        except TimeoutError:
            raise Unavailable("The zygote does not become ready.", hint="See its log.") from None
        finally:
            self.warm.clear()
            self._socket = None
            ours.close()  # its lifeline: a zygote that still runs ends now
            if self._process is not None and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGKILL)
                await self._process.wait()

    async def fork(self, assignment: Assignment, listeners: Listeners) -> Forked:
        """A new session's process. Raises Unavailable while there is no zygote; the request may be repeated."""
        return await self._asked(assignment.as_wire(), [listeners.slot.fileno(), listeners.control.fileno()])

    async def fork_program(self, plan: dict[str, Any], listener: socket.socket) -> Forked:
        """The keeper of a program beside a session; likewise."""
        return await self._asked({"program": plan}, [listener.fileno()])

    async def _asked(self, request: dict[str, Any], fds: list[int]) -> Forked:
        async with self._turn:
            try:
                await asyncio.wait_for(self.warm.wait(), FORK_SECONDS_MAX)
                if self._socket is None:
                    raise ConnectionError
                socket.send_fds(self._socket, [msgpack.packb(request)], fds)
                reply, pidfds = await asyncio.wait_for(_receive(self._socket), FORK_SECONDS_MAX)
                return Forked(int(reply["pid"]), pidfds[0])
            except (OSError, TimeoutError, IndexError) as lost:
                self.warm.clear()  # the next request waits for the next zygote
                self.stop()  # and a late reply of this one must never be taken for that
                raise Unavailable("No session can be started at this moment.", hint="Try again in some seconds.", reason="zygote") from lost

    def stop(self) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def _receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    loop = asyncio.get_running_loop()
    number = sock.fileno()
    readable = asyncio.Event()
    loop.add_reader(number, readable.set)
    try:
        await readable.wait()
        packet, fds, _, _ = socket.recv_fds(sock, MESSAGE_BYTES_MAX, 4)
    finally:
        loop.remove_reader(number)
    if not packet:
        raise ConnectionError("The zygote closed its end.")
    return msgpack.unpackb(packet), fds
