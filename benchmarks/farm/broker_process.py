"""One broker as a process of its own, with people who sign in: what `placements` starts three of.

The broker, its claims, licences, tickets and its copy for outages are the real ones, as in a controller, where the door calls it in the
same process.
Only the agents are made up: each answers after AGENT_SECONDS, as one does that forks a session.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

import uvloop

from cloister.base.clock import system_clock
from cloister.base.database import open_pool
from cloister.base.errors import CloisterError
from cloister.base.process import collect_seldom, keep_for_good
from cloister.base.secret import Secret
from cloister.farm import Broker, EstateStore, LocalCache, Tickets

AGENT_SECONDS: Final = 0.02


class MadeUpAgent:
    def __init__(self) -> None:
        self._slots = 0

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        await asyncio.sleep(AGENT_SECONDS if method == "spawn" else AGENT_SECONDS / 10)
        if method == "spawn":
            self._slots += 1
        return {"public_key": bytes(32), "slot": self._slots, "unlocked": False}


async def main(plan: dict[str, Any]) -> dict[str, Any]:
    pool = await open_pool(plan["database"], smallest=plan["connections"], largest=plan["connections"])
    # Slots are numbered per process here, so that two made-up agents of one server never give the same one.
    agents: dict[str, MadeUpAgent] = {}

    def agent(server: str) -> MadeUpAgent:
        if server not in agents:
            agents[server] = MadeUpAgent()
            agents[server]._slots = plan["number"] * 1000
        return agents[server]

    name = f"bench-{plan['number']}"

    async def end(server: str, session: str, why: str) -> None:
        raise AssertionError("nobody has two sessions here")

    broker = Broker(
        store=LocalCache(EstateStore(pool), broker=name, clock=system_clock, end=end),
        tickets=Tickets(Secret(bytes(32)), clock=system_clock),
        agents=agent,
        destination=lambda server, slot: f"/run/{server}/{slot}.sock",
        agent_token=Secret(b"bench"),
        clock=system_clock,
        name=name,
    )
    people = range(plan["number"], plan["people"], plan["brokers"])
    took: list[float] = []
    faults: list[str] = []

    async def one(person: int, began: float) -> None:
        try:
            started = await broker.start_session(f"p{person:05}", "nurse", "person")
            assert started.ticket
            took.append((time.time() - began) * 1000)
        except CloisterError as refused:
            faults.append(f"{refused.reason}: {refused.text}")

    async def paced() -> None:
        """Each at its own moment, whether or not those before are done."""
        tasks = set()
        for person in people:
            due = plan["start"] + person / plan["per_second"]
            if (wait := due - time.time()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(person, max(due, plan["start"])))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def as_fast_as_possible() -> None:
        left = iter(people)

        async def worker() -> None:
            for person in left:
                await one(person, time.time())

        await asyncio.gather(*(worker() for _ in range(plan["at_once"])))

    collect_seldom()
    known = asyncio.Event()
    tending = asyncio.create_task(broker.keep(settled=lambda: (keep_for_good(), known.set())[1]))
    await known.wait()
    print("ready", flush=True)
    plan["start"] = float(await asyncio.to_thread(sys.stdin.readline))  # one moment for all brokers, when the last of them is ready
    await asyncio.sleep(max(0.0, plan["start"] - time.time()))
    processor = time.process_time()
    await (paced() if plan["per_second"] else as_fast_as_possible())
    ended = time.time()
    tending.cancel()
    await pool.close()
    return {"took": took, "faults": faults, "ended": ended, "processor": time.process_time() - processor}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(main(json.loads(sys.stdin.readline())))))
