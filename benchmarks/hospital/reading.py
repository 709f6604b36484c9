"""GET Observation/{id} through Envoy with TLS, by 50 sessions at once."""

from __future__ import annotations

import asyncio
import random

from benchmarks.hospital.bench import Bench
from benchmarks.load import Connection, paced, saturated
from benchmarks.measure import Result, at_most, percentile, told

SESSIONS = 50
PATIENTS_EACH = 10
SECONDS = 12.0
EACH_PER_SECOND = 4.0  # 200 readings a second in all: far more than 50 people do
P99_GOAL = 20.0


async def run(bench: Bench) -> list[Result]:
    tokens = await bench.trust.sessions(SESSIONS)
    tls = bench.trust.tls()
    connections = [await Connection.open(bench.trust.settings.port, tls, token) for token in tokens]
    chance = random.Random(1)
    cared = dict(zip(connections, bench.cared_for(SESSIONS, PATIENTS_EACH, 1), strict=True))

    async def read(connection: Connection, turn: int) -> None:
        identity, _, _ = chance.choice(cared[connection])
        status, _ = await connection.request("GET", f"/fhir/R4/Observation/{identity}")
        if status != 200:
            raise RuntimeError(f"GET Observation/{identity} answered {status}")

    _, first = await paced(connections, read, seconds=6, each_per_second=EACH_PER_SECOND)
    _, times = await paced(connections, read, seconds=SECONDS, each_per_second=EACH_PER_SECOND)
    rate, crowded = await saturated(connections, read, seconds=5)
    for connection in connections:
        connection.close()
    await asyncio.sleep(0)
    each = f"GET Observation/{{id}}, {SESSIONS} sessions, {SESSIONS * EACH_PER_SECOND:.0f}/s"
    return [
        told(f"{each}, p50", percentile(times, 50), "ms"),
        at_most(f"{each}, p99", percentile(times, 99), "ms", P99_GOAL),
        told(f"{each}, p99 of the first seconds, when records are opened", percentile(first, 99), "ms"),
        told(f"GET Observation/{{id}}, {SESSIONS} sessions without pause", rate, "requests/s"),
        told(f"GET Observation/{{id}}, {SESSIONS} sessions without pause, p99", percentile(crowded, 99), "ms"),
    ]
