"""A program beside a session, where the test is the session: keeper, namespaces, Xvnc and program are real."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from screen_client import Screen

from cloister.server import cgroups
from cloister.server.programs.plan import ProgramKind, ProgramPlan, Rules
from cloister.server.programs.running import ProgramState, Running

HERE: Final = Path(__file__).parent
WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])  # test files run side by side: each worker has its own accounts
PROGRAM_UID: Final = 310_901 + WORKER
DISPLAY_UID: Final = 410_901 + WORKER
NEEDED: Final = ("Xvnc", "openbox", "xterm", "setxkbmap")
EVERYTHING: Final = Rules(clipboard_in=True, clipboard_out=True, transfer_in=True, transfer_out=True)
SECONDS_MAX: Final = 20.0
RUNS: Final = itertools.count()


def why_not(*more: str) -> str:
    """What this machine lacks, or nothing."""
    if os.geteuid() != 0:
        return "publishing programs needs root"
    lacking = [name for name in (*NEEDED, *more) if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


class Program:
    """One run; `running` is the session's own half."""

    def __init__(self, running: Running, keeper: subprocess.Popen[bytes]) -> None:
        self.running = running
        self.keeper = keeper
        self.screen: Screen | None = None

    async def look(self) -> Screen:
        assert self.running.ended is None, self.running.ended
        if self.screen is None:
            self.screen = await asyncio.to_thread(Screen, await self.running.screen())
            await asyncio.to_thread(self.screen.until_drawn)
        return self.screen

    async def shell(self, script: str, done: str = "done") -> str:
        """Type a line into the terminal that is shown; what it writes into Exchange/said, once it has also written `done`."""
        await self._listens()
        (await self.look()).type(f"({script}) > ~/Exchange/said 2>&1; touch ~/Exchange/{done}\n")
        await self.until(lambda names: done in names)
        return await self.read("said")

    async def _listens(self) -> None:
        """Until the shell takes what is typed: what comes before the window has the keyboard goes nowhere."""
        for _ in range(20):
            (await self.look()).type("\ntouch ~/Exchange/listens\n")
            try:
                return await self.until(lambda names: "listens" in names, seconds=SECONDS_MAX / 10)
            except AssertionError:
                continue
        raise AssertionError("the terminal takes no keys")

    async def until(self, holds: Any, seconds: float = SECONDS_MAX) -> None:
        end = time.monotonic() + seconds
        while not holds({name for name, _, _ in await self.running.files()}):
            assert self.running.ended is None, self.running.ended
            assert time.monotonic() < end, await self.running.files()
            await asyncio.sleep(0.05)

    async def read(self, name: str) -> str:
        fd = await self.running.file(name)
        try:
            return os.read(fd, 100_000).decode()
        finally:
            os.close(fd)

    async def over(self) -> Any:
        """Why it ended, once it has and its keeper is gone."""
        end = time.monotonic() + SECONDS_MAX
        while self.running.ended is None and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self.keeper.wait, SECONDS_MAX)
        return self.running.ended


@contextmanager
def keeper_of(folder: Path, *command: str, kind: str, rules: Rules, **more: Any) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A keeper that waits at its socket for this process as its session."""
    path = folder / "keeper.sock"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(2)
    group = f"test-program-{os.getpid()}-{next(RUNS)}"
    tree = cgroups.find()
    cgroups.prepare(tree)
    plan = ProgramPlan(
        run="run", session="session", session_pid=os.getpid(), session_uid=os.geteuid(), application="one", title="One",
        kind=ProgramKind(kind), program_uid=PROGRAM_UID, display_uid=DISPLAY_UID, group=group, command=command, rules=rules, **more,
    )  # fmt: skip
    words = [sys.executable, str(HERE / "keeper_process.py"), json.dumps(plan.as_wire()), str(listener.fileno())]
    keeper = subprocess.Popen(words, pass_fds=(listener.fileno(),), stdin=subprocess.DEVNULL)
    listener.close()
    try:
        yield path, keeper
    finally:
        keeper.wait(SECONDS_MAX)
        cgroups.remove(tree.programs, [group])


@asynccontextmanager
async def program(folder: Path, *command: str, kind: str = "window", rules: Rules = EVERYTHING, **more: Any) -> AsyncIterator[Program]:
    credentials, layout = more.pop("credentials", None), more.pop("layout", "us")
    running = Running(run="run", application="one", title="One", kind=ProgramKind(kind), rules=rules, on_end=lambda _: None)
    with keeper_of(folder, *command, kind=kind, rules=rules, **more) as (path, keeper):
        try:
            await running.open(str(path))
            await running.begin([], width=800, height=600, layout=layout, language="en", credentials=credentials)
            yield Program(running, keeper)
        finally:
            running.end("asked")
            await asyncio.to_thread(keeper.wait, SECONDS_MAX)


def left_behind() -> list[str]:
    """Processes under the accounts of these runs."""
    return [name for _, name in _processes()]


def screen_process() -> int:
    """The process number, outside, of the run's Xvnc."""
    return next(pid for pid, name in _processes() if name == "Xvnc")


def _processes() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if _owner(entry) in (PROGRAM_UID, DISPLAY_UID):
                    found.append((int(entry.name), (entry / "comm").read_text().strip()))
            except OSError:
                continue
    return found


def _owner(entry: Path) -> int:
    for line in (entry / "status").read_text().splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    return -1


__all__ = ["Program", "ProgramState", "keeper_of", "left_behind", "program", "screen_process", "why_not"]
