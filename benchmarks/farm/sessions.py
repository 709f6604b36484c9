"""Real sessions on this machine: spawning at ten a second, a storm of 200 sign-ins through the door, their end all at once, a person who
goes to another screen, and 1,000 that idle.

Who signs in are programs, by their secret: what a person's sign-in has more, Argon2id, runs in the person's browser. Only who goes to
another screen is a person: the time of that includes it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.hospital.sessions import _processor
from benchmarks.measure import Result, at_least, at_most, percentile, told
from benchmarks.trust import BenchTrust, bench_plan
from cloister.base.errors import CloisterError, NotFound
from cloister.base.ids import new_id
from cloister.base.wire import Caller
from cloister.cli.operating import operated
from cloister.cli.own_session import OwnSession
from cloister.cli.place import read_sign_ins
from cloister.identity import ProgramPlan, TrustPlan

PROGRAMS: Final = 300  # with up to four sessions each
IDLE: Final = 1_000
IDLE_SECONDS: Final = 20.0
SPAWNS, SPAWNS_PER_SECOND = 200, 10.0
STORM, STORM_SECONDS = 200, 60.0
AT_ONCE: Final = 4
ROAMING: Final = 8
ROAMING_SECONDS_MAX: Final = 30.0
SPAWN_GOAL, MEMORY_GOAL, CPU_GOAL = 100.0, 12.0, 0.01
LOCK_GOAL, END_GOAL = 1000.0, 5.0


def plan(seed: str | int) -> TrustPlan:
    made = bench_plan(seed)
    hospital = made.hospitals[0]
    more = tuple(
        ProgramPlan(client_id=f"bench-{number:03}", name=f"Bench {number:03}", hospital=hospital.id, zones=(hospital.id,))
        for number in range(PROGRAMS)
    )
    return replace(made, programs=(*(one for one in made.programs if not one.client_id.startswith("bench-")), *more))


async def run(only: list[str]) -> list[Result]:
    trust = BenchTrust(plan)
    trust.settings = replace(trust.settings, slots=IDLE + 100)
    async with trust:
        agent = Caller(trust.settings.socket("agent"), part="agent")
        try:
            spawned = await _spawns(trust, agent)
            storm, failed = await _storm(trust)
            ended = await _end_all(trust, agent)
            locked = [await asyncio.to_thread(_goes_elsewhere, trust) for _ in range(ROAMING)]
            idle = await _idle(trust, agent)
        finally:
            agent.close()
    return [
        at_most(f"session spawn at {SPAWNS_PER_SECOND:g} a second, p99", percentile(spawned, 99), "ms", SPAWN_GOAL),
        told("  median", percentile(spawned, 50), "ms"),
        at_most(f"storm of {STORM} sign-ins in {STORM_SECONDS:g} s through the door: failed", failed, "people", 0),
        told("  from asking to an open session, p99", percentile(storm, 99), "ms"),
        at_most(f"end all of {ended['sessions']} sessions: until the last process is gone", ended["seconds"], "s", END_GOAL),
        told("  of them killed", ended["killed"], "sessions"),
        at_most(f"the old screen locks when its person signs in elsewhere, longest of {ROAMING}", max(locked), "ms", LOCK_GOAL),
        told("  median", percentile(locked, 50), "ms"),
        *idle,
    ]


async def _spawns(trust: BenchTrust, agent: Caller) -> list[float]:
    """Milliseconds from asking the agent to a hardened session that answers; each at its own moment."""
    person = trust.bench_programs()[0][0]
    took: list[float] = []

    async def one() -> None:
        session, began = new_id(), time.perf_counter()
        await agent.call("spawn", session=session, person=person, role="program", kind="program", label=session, epoch=1)
        took.append((time.perf_counter() - began) * 1000)
        try:
            await agent.call("end", session=session, reason="bench")
        except NotFound:
            return  # the controller did not know it, so the agent was quicker

    await _paced((one() for _ in range(SPAWNS)), 1 / SPAWNS_PER_SECOND)
    return took


async def _storm(trust: BenchTrust) -> tuple[list[float], int]:
    took: list[float] = []
    programs = trust.bench_programs()
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(verify=trust.tls(), trust_env=False, limits=limits) as client:

        async def one(number: int) -> None:
            began = time.perf_counter()
            try:
                await trust.token(client, *programs[number], label="s0")
            except (httpx.HTTPError, CloisterError):
                return
            took.append((time.perf_counter() - began) * 1000)

        await _paced((one(number) for number in range(STORM)), STORM_SECONDS / STORM)
    return took, STORM - len(took)


async def _end_all(trust: BenchTrust, agent: Caller) -> dict[str, Any]:
    """As an operator does it at the command line: on record first, then every session is asked, and killed when it is late."""
    began = time.perf_counter()
    done: dict[str, Any] = await operated(trust.settings, "end", {"all": True, "why": "bench"})
    seconds = time.perf_counter() - began
    left = (await agent.call("list"))["sessions"]
    assert not left, f"{len(left)} sessions are still there"
    return {**done, "seconds": seconds}


def _goes_elsewhere(trust: BenchTrust) -> float:
    """Milliseconds from a person's word at another screen, Argon2id included, to the first screen's being told to hide what it shows."""
    person = read_sign_ins(trust.settings)["people"][0]
    here = OwnSession(trust.settings, person["sign_in"], person["passphrase"])
    open_now, heard = threading.Event(), threading.Event()

    def look() -> None:
        for line in here.lines("/session/live"):
            open_now.set()
            if line.startswith("event: moved"):
                heard.set()
                return

    page = threading.Thread(target=look, daemon=True)
    page.start()
    assert open_now.wait(ROAMING_SECONDS_MAX)
    began = time.perf_counter()
    there: list[OwnSession] = []
    other = threading.Thread(target=lambda: there.append(OwnSession(trust.settings, person["sign_in"], person["passphrase"])), daemon=True)
    other.start()
    assert heard.wait(ROAMING_SECONDS_MAX), "the first screen was not told"
    took = (time.perf_counter() - began) * 1000
    other.join(ROAMING_SECONDS_MAX)
    here.close()
    there[0].close()
    return took


async def _paced(work: Iterable[Any], seconds: float) -> None:
    began, tasks = time.monotonic(), []
    for number, one in enumerate(work):
        await asyncio.sleep(max(0.0, began + number * seconds - time.monotonic()))
        tasks.append(asyncio.create_task(one))
    await asyncio.gather(*tasks)


async def _idle(trust: BenchTrust, agent: Caller) -> list[Result]:
    programs = trust.bench_programs()
    wanted = iter([(program, f"s{label}") for label in range(4) for program in programs][:IDLE])
    async with httpx.AsyncClient(verify=trust.tls(), trust_env=False) as client:

        async def worker() -> None:
            for program, label in wanted:
                await trust.token(client, *program, label=label)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    live = [session for session in (await agent.call("list"))["sessions"] if session["state"] == "active"]
    pids = [session["pid"] for session in live]
    memory = sum(_proportional(pid) for pid in pids) / 2**30
    await asyncio.sleep(3.0)
    before = sum(_processor(pid) for pid in pids)
    await asyncio.sleep(IDLE_SECONDS)
    used = (sum(_processor(pid) for pid in pids) - before) / IDLE_SECONDS
    return [
        at_least("idle sessions at once, each open", len(live), "sessions", IDLE),
        at_most(f"memory of {len(live)} idle sessions (PSS)", memory, "GB", MEMORY_GOAL),
        at_most(f"processor time of {len(live)} idle sessions", used, "processors", CPU_GOAL),
    ]


def _proportional(pid: int) -> int:
    """Proportional set size in bytes: shared pages are divided among those who share them (proc(5), smaps_rollup)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
