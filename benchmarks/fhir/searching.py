"""GET Observation?patient&code&_sort=-date&_count=50: the newest fifty values of one kind, of any patient."""

from __future__ import annotations

import random
from typing import Final
from urllib.parse import quote

from benchmarks.fhir.bench import FhirBench, Side
from benchmarks.fhir.turns import at_rate, in_turns, paced_results, results
from benchmarks.load import Connection, Work
from benchmarks.measure import Result

RATE_GOAL: Final = 500
P99_GOAL: Final = 50.0


async def run(bench: FhirBench) -> list[Result]:
    chance = random.Random(3)

    def work(side: Side) -> Work:
        async def search(connection: Connection, turn: int) -> None:
            patient, code = chance.choice(bench.sample.series)
            path = f"/fhir/R4/Observation?patient={patient}&code={quote(code)}&_sort=-date&_count=50"
            status, body = await connection.request("GET", path)
            if status != 200 or b'"entry":[' not in body:
                raise RuntimeError(f"{side.name}: {path} answered {status}: {body[:200]!r}")

        return search

    name = "Observation?patient&code&_sort=-date&_count=50"
    found = results(name, *await in_turns(bench, work), goal=RATE_GOAL)
    times = await at_rate(bench.sealed, work(bench.sealed), RATE_GOAL)
    return [*found, *paced_results(f"the same, {RATE_GOAL}/s", times, P99_GOAL)]
