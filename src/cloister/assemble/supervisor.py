"""Parts that are processes: started in order, watched, started again when they die, stopped in reverse order.

A part is a child of this process with a session of its own (setsid(2)), so that a Ctrl-C in the terminal
reaches only the supervisor, which then stops everything in order. Children ask the kernel to be told when the
supervisor dies, and what is left of a dead part is reaped here: nothing outlives an `up`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from cloister.assemble.folders import log_tail, open_log
from cloister.base.errors import Unavailable
from cloister.base.settings import Settings

READY_SECONDS_MAX: Final = 90.0
STOP_SECONDS_MAX: Final = 20.0
PAUSES_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # before starting again; back to the first after STEADY_SECONDS
STEADY_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 0.05

Tell = Callable[[str], None]


class PartState(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(slots=True)
class Part:
    """One process that must run."""

    name: str
    ready: Callable[[], Awaitable[bool]]
    stop_signal: signal.Signals = signal.SIGTERM
    command: tuple[str, ...] = ()  # of `python -m`; a part of the assembly by default
    state: PartState = PartState.WAITING
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    deaths: int = 0
    last_death: str = ""
    _streak: int = 0
    _watch: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Supervisor:
    def __init__(self, settings: Settings, environment: Mapping[str, str], tell: Tell) -> None:
        self._settings = settings
        self._environment = {**environment, "SUPERVISOR": str(os.getpid())}
        self._tell = tell
        self._launched: list[subprocess.Popen[bytes]] = []
        self.parts: list[Part] = []

    async def start(self, *parts: Part) -> None:
        """Start these parts side by side and wait until all answer; Unavailable names one that does not and shows the end of its log."""
        for part in parts:
            self.parts.append(part)
            self._spawn(part)
        for part in parts:
            await self._until_ready(part)
            part._watch = asyncio.create_task(self._watched(part), name=f"watch-{part.name}")

    def launch(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """A process of ours with its own log: `python -m COMMAND`."""
        log = open_log(self._settings, name)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                close_fds=True,
                env=self._environment,
                cwd="/",
            )
        finally:
            os.close(log)
        self._launched = [known for known in self._launched if known.returncode is None] + [process]
        return process

    async def stop(self) -> None:
        """All parts, the last started first; then whatever they left behind."""
        for part in reversed(self.parts):
            if part._watch is not None:
                part._watch.cancel()
            await self._end(part)
        await self._sweep()

    def reap(self) -> None:
        """Orphans of dead parts become our children; collect those that have ended."""
        ours = {process.pid for process in self._launched if process.returncode is None}
        for pid in children():
            if pid not in ours:
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)

    def _spawn(self, part: Part) -> None:
        part.process = self.launch(part.name, *(part.command or ("cloister.assemble", part.name)))
        part.state = PartState.STARTING
        part.since = time.monotonic()

    async def _until_ready(self, part: Part) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not await part.ready():
            assert part.process is not None
            if part.process.poll() is not None:
                raise self._failure(part, f"ended while starting ({ending(part.process.returncode)})")
            if time.monotonic() > deadline:
                raise self._failure(part, f"did not answer within {READY_SECONDS_MAX:.0f} s")
            await asyncio.sleep(PROBE_SECONDS)
        part.state = PartState.RUNNING
        part.since = time.monotonic()

    def _failure(self, part: Part, what: str) -> Unavailable:
        tail = log_tail(self._settings, part.name)
        said = refusal_in(tail)
        if said is not None:
            return Unavailable(f"Part '{part.name}': {said[0]}", hint=said[1])
        text = f"Part '{part.name}' {what}." + (f"\n{tail}" if tail else "")
        return Unavailable(text, hint=f"Its log: {self._settings.logs / part.name}.log")

    async def _watched(self, part: Part) -> None:
        while True:
            assert part.process is not None
            await exited(part.process)
            if time.monotonic() - part.since > STEADY_SECONDS:
                part._streak = 0
            part.deaths += 1
            part.last_death = ending(part.process.returncode)
            part.state = PartState.RESTARTING
            pause = PAUSES_SECONDS[min(part._streak, len(PAUSES_SECONDS) - 1)]
            part._streak += 1
            self._tell(f"part '{part.name}' ended ({part.last_death}); it starts again")
            await asyncio.sleep(pause)
            self._spawn(part)
            try:
                await self._until_ready(part)
                self._tell(f"part '{part.name}' runs again (process {part.pid})")
            except Unavailable as failed:
                self._tell(failed.text)
                if part.process.poll() is None:
                    part.process.kill()

    async def _end(self, part: Part) -> None:
        process = part.process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(part.stop_signal)
            try:
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await exited(process)
            except TimeoutError:
                self._tell(f"part '{part.name}' did not stop within {STOP_SECONDS_MAX:.0f} s and was killed")
                process.kill()
                await exited(process)
        part.state = PartState.STOPPED

    async def _sweep(self) -> None:
        """End what parts left behind: first asked, then killed."""
        for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            deadline = time.monotonic() + seconds
            for pid in children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while children() and time.monotonic() < deadline:
                self.reap()
                await asyncio.sleep(PROBE_SECONDS)


async def exited(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process without a thread and without a tick (pidfd_open(2))."""
    if process.poll() is not None:
        return
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(process.pid)
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    process.wait()


def refusal_in(tail: str) -> tuple[str, str] | None:
    """Text and hint with which a part refused to start, if its last words were such."""
    try:
        line = json.loads(tail.splitlines()[-1])
        return (str(line["text"]), str(line["hint"])) if line["event"] == "part.refused" else None
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def ending(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def children() -> list[int]:
    """Processes whose parent is this one (proc_pid_stat(5), field 4)."""
    own, found = os.getpid(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "stat").read_bytes()
            except OSError:
                continue
            if int(line[line.rindex(b")") + 2 :].split()[1]) == own:
                found.append(int(entry.name))
    return found
