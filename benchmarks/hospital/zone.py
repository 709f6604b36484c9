"""120 sessions read and write in one zone, without pause; the same work against plaintext storage."""

from __future__ import annotations

import random
from collections.abc import Sequence
from urllib.parse import quote

import orjson

from benchmarks.hospital.bench import Bench
from benchmarks.hospital.importing import imported
from benchmarks.load import Connection, Work, saturated
from benchmarks.measure import Result, percentile, ratio_at_least, rounded, told
from benchmarks.plaintext.server import PlainServer
from benchmarks.processor import used_by
from benchmarks.written import observation

SESSIONS = 120
PATIENTS_EACH = 10
SECONDS = 12.0
WARM_SECONDS = 20.0
WRITES = 0.1
SEARCHES = 0.25
RATIO_GOAL = 0.8


def work_of(bench: Bench, connections: Sequence[Connection], chance: random.Random) -> Work:
    """One thing that a ward does: mostly reading a value, sometimes a series, sometimes writing one."""

    cared = dict(zip(connections, bench.cared_for(SESSIONS, PATIENTS_EACH, 2), strict=True))

    async def work(connection: Connection, turn: int) -> None:
        identity, patient, code = chance.choice(cared[connection])
        what = chance.random()
        if what < WRITES:
            body = observation(patient, code, 71)
            status, answer = await connection.request(
                "POST", "/fhir/R4/Observation", orjson.dumps(body), headers="prefer: return=minimal\r\n"
            )
        elif what < WRITES + SEARCHES:
            path = f"/fhir/R4/Observation?patient={patient}&code={quote(code)}&_sort=-date&_count=10"
            status, answer = await connection.request("GET", path)
        else:
            status, answer = await connection.request("GET", f"/fhir/R4/Observation/{identity}")
        if status not in (200, 201):
            raise RuntimeError(f"answered {status}: {answer[:200]!r}")

    return work


async def measured(bench: Bench, port: int, tokens: Sequence[str], processes: list[int]) -> tuple[float, list[float], float]:
    """(requests a second, milliseconds of each, milliseconds of processor time for each on the server's side)"""
    tls = bench.trust.tls()
    connections = [await Connection.open(port, tls, token) for token in tokens]
    work = work_of(bench, connections, random.Random(2))
    await saturated(connections, work, seconds=WARM_SECONDS)
    before = used_by(processes)
    rate, times = await saturated(connections, work, seconds=SECONDS)
    cost = (used_by(processes) - before) / len(times) * 1000
    for connection in connections:
        connection.close()
    return rate, times, cost


async def run(bench: Bench) -> list[Result]:
    tokens = await bench.trust.sessions(SESSIONS)
    sealed, times, cost = await measured(bench, bench.trust.settings.port, tokens, bench.trust.processes)
    async with PlainServer(bench.trust, sessions=SESSIONS) as plain:
        await imported(plain.importer(), bench.source(), bench.trust.folder / "plain-zone")
        plaintext, plain_times, plain_cost = await measured(bench, plain.port, plain.tokens(), plain.processes)
    return [
        ratio_at_least(f"{SESSIONS} sessions in one zone, reading and writing", sealed, plaintext, "requests/s", RATIO_GOAL),
        Result(
            name=f"{SESSIONS} sessions in one zone, p95",
            value=round(percentile(times, 95), 1),
            unit="ms",
            baseline=round(percentile(plain_times, 95), 1),
        ),
        Result(
            name=f"{SESSIONS} sessions in one zone, processor time a request",
            value=rounded(cost),
            unit="ms",
            baseline=rounded(plain_cost),
            ratio=rounded(plain_cost / cost),
        ),
        told("of which writes", WRITES * 100, "%"),
    ]
