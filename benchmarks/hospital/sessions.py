"""Sessions as processes: how fast one starts, what an idle one costs, 500 of them at once."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.hospital.bench import Bench
from benchmarks.measure import Result, at_least, at_most, percentile, told
from cloister.base.errors import NotFound
from cloister.base.ids import new_id
from cloister.base.wire import Caller

SPAWNS = 200
IDLE = 500
IDLE_SECONDS = 10.0
P50_GOAL, P99_GOAL = 30.0, 80.0
USS_GOAL = 12.0
# No processor time: 500 sessions together use less than a hundredth of one processor.
CPU_GOAL = 0.01


async def run(bench: Bench) -> list[Result]:
    agent = Caller(bench.trust.settings.socket("agent"), part="agent")
    try:
        spawned = await _spawns(bench, agent)
        began = time.perf_counter()
        await bench.trust.sessions(IDLE)
        seconds = time.perf_counter() - began
        live = await _active(agent)
        pids = [session["pid"] for session in live]
        uss = sorted(_own_memory(pid) for pid in pids)
        before = sum(_processor(pid) for pid in pids)
        await asyncio.sleep(IDLE_SECONDS)
        used = (sum(_processor(pid) for pid in pids) - before) / IDLE_SECONDS
    finally:
        agent.close()
    return [
        at_most("session spawn, median", percentile(spawned, 50), "ms", P50_GOAL),
        at_most("session spawn, p99", percentile(spawned, 99), "ms", P99_GOAL),
        at_least("idle sessions, started and listed", len(live), "sessions", IDLE),
        told("signing in a program, one after the other", seconds / IDLE * 1000, "ms"),
        at_most("a further idle session, own memory (USS), median", percentile(uss, 50) / 2**20, "MB", USS_GOAL),
        told("a further idle session, own memory (USS), largest", uss[-1] / 2**20, "MB"),
        at_most(f"processor time of {len(live)} idle sessions", used, "processors", CPU_GOAL),
    ]


async def _spawns(bench: Bench, agent: Caller) -> list[float]:
    """Milliseconds from asking the agent to a hardened session that answers."""
    person = bench.trust.bench_programs()[0][0]
    times = []
    for _ in range(SPAWNS):
        session = new_id()
        began = time.perf_counter()
        await agent.call("spawn", session=session, person=person, role="program", kind="program", label="spawn", epoch=1)
        times.append((time.perf_counter() - began) * 1000)
        await _end(agent, session)
    return times


async def _end(agent: Caller, session: str) -> None:
    try:
        await agent.call("end", session=session, reason="bench")
    except NotFound:
        return  # the controller did not know it, so the agent was quicker


async def _active(agent: Caller) -> list[dict[str, Any]]:
    found = await agent.call("list")
    return [session for session in found["sessions"] if session["state"] == "active"]


def _own_memory(pid: int) -> int:
    """Unique set size: bytes of private pages."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))


def _processor(pid: int) -> float:
    """Seconds of processor time used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
