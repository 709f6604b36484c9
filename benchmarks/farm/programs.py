"""Programs beside sessions: from the start to the first frame, and what a neighbour notices of a bomb with and without limits.

The neighbour is a real session of this trust, asked over its own socket; the bombs are a fork bomb, a memory hog and busy loops, each
with the limits of a published program, then once more with none. Needs root, Xvnc, openbox and xterm.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx

from benchmarks.farm.sessions import plan
from benchmarks.measure import Result, at_most, missing, percentile, told
from benchmarks.trust import BenchTrust
from cloister.base.ids import new_id
from cloister.base.process import system_account
from cloister.base.wire import Caller
from cloister.server import cgroups
from cloister.server.programs.plan import ProgramKind, ProgramPlan
from cloister.server.programs.running import Running

ASKS: Final = 400
PAUSE_SECONDS: Final = 0.01
STARTS: Final = 10
SLOWER_MAX: Final = 3.0  # times; two processors are shared by a fair share, so a little slower is fair
FRAME_GOAL: Final = 1500.0
NEEDED: Final = ("Xvnc", "openbox", "xterm", "setxkbmap")
PROGRAM_UID: Final = 310_950
EDGE: Final = "cloister-edge"
KEEPER: Final = (
    "import json, socket, sys; from cloister.server.programs.keeper import run_keeper;"
    " from cloister.server.programs.plan import plan_from_wire;"
    " run_keeper(plan_from_wire(json.loads(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))"
)


async def run(only: list[str]) -> list[Result]:
    if os.geteuid() != 0 or any(shutil.which(name) is None for name in NEEDED):
        return [missing("programs", "", "needs root, Xvnc, openbox, xterm, setxkbmap")]
    trust = BenchTrust(plan)
    async with trust:
        agent = Caller(trust.settings.socket("agent"), part="agent")
        try:
            neighbour = await _neighbour(trust, agent)
        finally:
            agent.close()
    return [*neighbour, *await _frames()]


# --- the neighbour --------------------------------------------------------------------------------------------


async def _neighbour(trust: BenchTrust, agent: Caller) -> list[Result]:
    person, session = trust.bench_programs()[0][0], new_id()
    told_of = await agent.call("spawn", session=session, person=person, role="program", kind="program", label="neighbour", epoch=1)
    claims = {"sid": session, "dst": "", "slot": 0, "person": person, "epoch": 1, "iat": 0, "exp": 0}
    who = {"x-cloister-ticket": base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()}
    transport = httpx.AsyncHTTPTransport(uds=str(trust.settings.slot(int(told_of["slot"]))))
    async with httpx.AsyncClient(transport=transport, base_url="http://session", headers=who, timeout=60) as client:
        with _as_the_edge():
            await client.get("/session/state")  # the one connection is opened, and kept
        await _asked(client)  # the first answers are not the ones that are compared
        quiet = await _asked(client)
        with _bombs(limited=True):
            beside = await _asked(client)
        with _bombs(limited=False):
            unlimited = await _asked(client)
    ratio = percentile(beside, 99) / max(percentile(quiet, 99), 1.0)
    return [
        told("a session's answer, alone, p99", percentile(quiet, 99), "ms"),
        told("  beside a fork bomb, a memory hog and busy loops with limits, p99", percentile(beside, 99), "ms"),
        told("  beside the same without limits, p99", percentile(unlimited, 99), "ms"),
        at_most("  with limits: slower than alone (at least 1 ms)", ratio, "times", SLOWER_MAX),
    ]


@contextmanager
def _as_the_edge() -> Iterator[None]:
    """A slot takes connections of Envoy's account only: the kernel says who connects."""
    account = system_account(EDGE)
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


async def _asked(client: httpx.AsyncClient) -> list[float]:
    took = []
    for _ in range(ASKS):
        began = time.perf_counter()
        (await client.get("/session/state")).raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return took


BOMB: Final = {
    "forks": "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0)",
    "memory": "held = []\nwhile True: held.append(bytearray(1 << 20))",
    "loops": "import os\nfor _ in range(7): os.fork()\nwhile True: pass",
}


@contextmanager
def _bombs(*, limited: bool) -> Iterator[None]:
    """Without limits nothing is left unbounded either: 512 processes and 4 GiB, for this machine is others' too; but no fair share."""
    tree, names = cgroups.find().programs, []
    if not limited:
        tree = replace(tree, folders={name: folder for name, folder in tree.folders.items() if name != "cpu"})
    limits = cgroups.Limits(memory_bytes=(256 if limited else 4096) * cgroups.MIB, processes=256 if limited else 512)
    pids = []
    for kind, code in BOMB.items():
        names.append(f"bench-{os.getpid()}-{kind}")
        pid = os.fork()
        if pid == 0:
            os.setsid()
            if limited:
                cgroups.give_way()
            cgroups.enter(tree, names[-1], limits)
            os.execv(sys.executable, [sys.executable, "-c", code])
        pids.append(pid)
    time.sleep(1)
    try:
        yield
    finally:
        for _ in range(3):
            for name in names:
                for folder in tree.groups(name):
                    for pid in (folder / "cgroup.procs").read_text().split() if folder.exists() else ():
                        with contextlib.suppress(OSError):
                            os.kill(int(pid), signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        cgroups.remove(tree, names)


# --- the first frame -------------------------------------------------------------------------------------------


async def _frames() -> list[Result]:
    running, first, ended = [], [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as folder:
            times = await _start(Path(folder))
            for measured, value in zip((running, first, ended), times, strict=True):
                measured.append(value * 1000)
    return [
        told("a window from the start to its running", percentile(running, 50), "ms"),
        at_most("a window from the start to its first frame, median", percentile(first, 50), "ms", FRAME_GOAL),
        told("  slowest", max(first), "ms"),
        told("from its end to nothing being left", percentile(ended, 50), "ms"),
    ]


async def _start(folder: Path) -> tuple[float, float, float]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder / "k.sock"))
    listener.listen(2)
    plan = ProgramPlan(
        run="r", session="s", session_pid=os.getpid(), session_uid=0, application="x", title="x", kind=ProgramKind.WINDOW,
        program_uid=PROGRAM_UID, display_uid=PROGRAM_UID + 100_000, group=f"bench-{os.getpid()}-run", command=("xterm",),
    )  # fmt: skip
    words = [sys.executable, "-c", KEEPER, json.dumps(plan.as_wire()), str(listener.fileno())]
    keeper = subprocess.Popen(words, pass_fds=(listener.fileno(),))
    running = Running(run="r", application="x", title="x", kind=plan.kind, rules=plan.rules, on_end=lambda _: None)
    await running.open(str(folder / "k.sock"))  # what a fork of the zygote has: everything is imported
    began = time.perf_counter()
    await running.begin([], width=1024, height=768, layout="us", language="en")
    runs = time.perf_counter() - began
    screen = await running.screen()
    await asyncio.to_thread(_drawn, screen)
    drawn, ending = time.perf_counter() - began, time.perf_counter()
    running.end("asked")
    await asyncio.to_thread(keeper.wait, 30)
    cgroups.remove(cgroups.find().programs, [plan.group])
    return runs, drawn, time.perf_counter() - ending


def _drawn(screen: socket.socket) -> None:
    """Until the screen shows more than one colour (RFC 6143, raw pixels)."""
    screen.setblocking(True)
    file = screen.makefile("rwb", buffering=0)

    def exactly(count: int) -> bytes:
        got = b""
        while len(got) < count:
            got += file.read(count - len(got)) or b""
        return got

    exactly(12)
    file.write(b"RFB 003.008\n")
    exactly(exactly(1)[0])
    file.write(b"\x01")
    exactly(4)
    file.write(b"\x01")
    width, height = struct.unpack(">HH", exactly(4))
    exactly(16)
    exactly(struct.unpack(">I", exactly(4))[0])
    file.write(struct.pack(">BxHi", 2, 1, 0))
    while True:
        file.write(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        while exactly(1) != b"\0":
            pass
        pixels = b""
        for _ in range(struct.unpack(">xH", exactly(3))[0]):
            _, _, wide, high, _ = struct.unpack(">HHHHi", exactly(12))
            pixels += exactly(wide * high * 4)
        if pixels.strip(pixels[:4]):
            return
