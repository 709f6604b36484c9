"""17,000 people at eight o'clock on 1,400 servers, through three broker processes: placed, licensed and ticketed.

Baselines in the same run: for the rate, three processes that only insert a row; for the spread, a broker that sends each person to the
least loaded server by the servers' reports alone, which are made every 60 seconds, each at its own second, and ties broken by lot.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from benchmarks.farm.database import Database, database
from benchmarks.measure import Result, at_most, percentile, told
from cloister.farm import EstateStore, Server
from cloister.farm.licences import Pool
from cloister.farm.placement import ServerState

PEOPLE: Final = 17_000
SERVERS: Final = 1_400
SLOTS: Final = 20
LICENCES: Final = 24_000
BROKERS: Final = 3
AT_ONCE: Final = 12  # sign-ins of one broker, when they come as fast as it can
CONNECTIONS: Final = 6
REPORT_SECONDS: Final = 60.0  # of the baseline
PER_SECOND: Final = 300.0  # all of them in 57 s
SECONDS_GOAL, P99_GOAL, RECONNECT_GOAL, SPREAD_GOAL = 60.0, 100.0, 30.0, 1.05


async def run(only: list[str]) -> list[Result]:
    with database() as cluster:
        fastest = await _round(cluster, per_second=0)
        spread = await _spread(cluster)
        used = await _licences(cluster)
        inserts = await asyncio.to_thread(_inserts, cluster)
        reconnects = await _run(cluster, per_second=PER_SECOND, people=3_000)
        paced = await _round(cluster, per_second=PER_SECOND)
    seconds, rate = fastest["seconds"], PEOPLE / fastest["seconds"]
    optimum = math.ceil(PEOPLE / SERVERS)
    stale = _stale_reports()
    return [
        at_most(f"{PEOPLE:,} placements with licence and ticket, {BROKERS} brokers, as fast as they can", seconds, "s", SECONDS_GOAL),
        told("  of these in a second", rate, "1/s"),
        told("  rows a second of three processes that only insert", inserts, "1/s"),
        told("  processor time of brokers and database for one placement", fastest["all"] / PEOPLE * 1000, "ms"),
        told("  of it in the brokers", fastest["processor"] / PEOPLE * 1000, "ms"),
        told("  people refused or failed", len(fastest["faults"]) + len(paced["faults"]), "people"),
        at_most(f"one placement at {PER_SECOND:g} a second, p99", percentile(paced["took"], 99), "ms", P99_GOAL),
        told("  median", percentile(paced["took"], 50), "ms"),
        at_most("coming back to a session, p99", percentile(reconnects["took"], 99), "ms", RECONNECT_GOAL),
        told("  median", percentile(reconnects["took"], 50), "ms"),
        at_most(f"most sessions on a server, of {SERVERS:,}, over the mean", spread["most"] / spread["mean"], "", SPREAD_GOAL),
        at_most(
            f"  over the least possible ({optimum}, because {spread['mean']:.2f} is no whole number)", spread["most"] / optimum, "", 1.0
        ),
        told("  servers at that most", spread["at_most"], "servers"),
        told("  the same by reports alone, each up to a minute old (simulated)", stale / spread["mean"], ""),
        at_most("licences handed out twice, or held by nobody's session", used, "licences", 0),
    ]


async def _round(cluster: Database, *, per_second: float) -> dict[str, Any]:
    await _farm(cluster)
    return await _run(cluster, per_second=per_second, people=PEOPLE)


async def _farm(cluster: Database) -> None:
    """An empty farm, where every server has just reported in."""
    await cluster.anew()
    pool = await asyncpg.create_pool(min_size=2, max_size=2, **cluster.estate())
    store = EstateStore(pool)
    await asyncio.gather(*(store.set_server(a_server(number)) for number in range(SERVERS)))
    await store.set_pool(Pool(application="record", seats=LICENCES, reserve=200))
    await pool.execute("analyze estate.server")
    await pool.close()


def a_server(number: int) -> Server:
    return Server(
        id=f"server-{number:04}", slots=SLOTS, free=SLOTS, state=ServerState.READY, load=0.2, memory=0.3, missing=(), seen=datetime.now(UTC)
    )


async def _run(cluster: Database, *, per_second: float, people: int) -> dict[str, Any]:
    before = cluster.processor()
    beating = asyncio.create_task(_beat(cluster))
    plan = {
        "database": cluster.estate(), "connections": CONNECTIONS, "brokers": BROKERS, "people": people,
        "per_second": per_second, "at_once": AT_ONCE,
    }  # fmt: skip
    running = [await asyncio.to_thread(_begun, {**plan, "number": number}) for number in range(BROKERS)]
    await asyncio.gather(*(asyncio.to_thread(_ready, one) for one in running))
    start = time.time() + 0.5
    found = await asyncio.gather(*(asyncio.to_thread(_told, one, start) for one in running))
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    return {
        "took": [one for part in found for one in part["took"]],
        "faults": [one for part in found for one in part["faults"]],
        "seconds": max(part["ended"] for part in found) - start,
        "processor": (brokers := sum(part["processor"] for part in found)),
        "all": brokers + cluster.processor() - before,  # reports of the servers included
    }


def _begun(plan: dict[str, Any]) -> subprocess.Popen[str]:
    broker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.farm.broker_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert broker.stdin is not None
    broker.stdin.write(json.dumps(plan) + "\n")
    broker.stdin.flush()
    return broker


def _ready(broker: subprocess.Popen[str]) -> None:
    assert broker.stdout is not None
    if broker.stdout.readline() != "ready\n":
        raise RuntimeError("A broker did not start; what it said is above.")


def _told(broker: subprocess.Popen[str], start: float) -> dict[str, Any]:
    said, _ = broker.communicate(f"{start}\n")
    if broker.returncode:
        raise RuntimeError("A broker failed; what it said is above.")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


async def _beat(cluster: Database) -> None:
    """The servers report every five seconds, as agents do: 280 a second, beside the placing. A session takes its share of memory."""
    pool = await asyncpg.create_pool(min_size=2, max_size=2, **cluster.estate())
    store = EstateStore(pool)
    while True:
        began = time.monotonic()
        for number, server in enumerate(await store.servers()):
            memory = 0.3 + 0.7 * server.taken / server.slots
            await store.set_seen(server.id, load=0.2, memory=min(0.9, memory), free=server.free, now=datetime.now(UTC))
            await asyncio.sleep(max(0.0, began + 5.0 * number / SERVERS - time.monotonic()))


async def _spread(cluster: Database) -> dict[str, float]:
    connection = await asyncpg.connect(**cluster.estate())
    rows = await connection.fetch(
        "select count(*) as n from estate.session where state <> 'ended' group by server order by n desc limit 2000"
    )
    await connection.close()
    counts = [row["n"] for row in rows]
    return {"most": counts[0], "mean": sum(counts) / SERVERS, "at_most": counts.count(counts[0])}


async def _licences(cluster: Database) -> int:
    """Sessions without a seat of their own, and seats without a session."""
    connection = await asyncpg.connect(**cluster.estate())
    row = await connection.fetchrow("""
        select (select count(*) from estate.session s where s.state <> 'ended'
                   and not exists (select from estate.licence_seat l where l.session = s.id)) as without,
               (select count(*) from estate.licence_seat l left join estate.session s on s.id = l.session
                 where l.session is not null and (s.state is null or s.state = 'ended')) as nobodys""")
    await connection.close()
    return int(row["without"] + row["nobodys"])


INSERTS: Final = """
import asyncio, asyncpg, json, sys, time
async def main():
    plan = json.loads(sys.stdin.read())
    pool = await asyncpg.create_pool(min_size=plan["connections"], max_size=plan["connections"], **plan["database"])
    left = iter(range(plan["count"]))
    async def worker():
        for n in left:
            await pool.execute("insert into estate.refusal (person, application, broker, reason, text) values ($1, '', '', '', '')", str(n))
    began = time.time()
    await asyncio.gather(*(worker() for _ in range(12)))
    print(plan["count"] / (time.time() - began))
asyncio.run(main())
"""


def _inserts(cluster: Database) -> float:
    """Rows a second of three processes that insert one after the other in as many connections, and nothing else."""
    plan = json.dumps({"database": cluster.estate(), "connections": CONNECTIONS, "count": 6000})
    running = [
        subprocess.Popen([sys.executable, "-c", INSERTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(BROKERS)
    ]
    return sum(float(one.communicate(plan)[0]) for one in running)


def _stale_reports(people: int = PEOPLE, per_second: float = PER_SECOND, seed: int = 1) -> int:
    """The most sessions on one server when each person goes to the least loaded one by its last report, ties broken by lot."""
    lot = random.Random(seed)
    really = [0] * SERVERS
    due = sorted((lot.random() * REPORT_SECONDS, server) for server in range(SERVERS))
    reported = {0: list(range(SERVERS))}  # servers by the sessions that they said they have
    said = [0] * SERVERS
    turn = 0
    for person in range(people):
        now = person / per_second
        while due[turn % SERVERS][0] + turn // SERVERS * REPORT_SECONDS <= now:
            server = due[turn % SERVERS][1]
            if said[server] != really[server]:
                reported[said[server]].remove(server)
                reported.setdefault(really[server], []).append(server)
                said[server] = really[server]
            turn += 1
        least = reported[min(sessions for sessions, servers in reported.items() if servers)]
        really[lot.choice(least)] += 1
    return max(really)
