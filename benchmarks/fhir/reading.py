"""GET Type/id: any resource of the record, drawn evenly."""

from __future__ import annotations

import random
from typing import Final

from benchmarks.fhir.bench import FhirBench, Side
from benchmarks.fhir.turns import in_turns, results
from benchmarks.load import Connection, Work
from benchmarks.measure import Result

RATE_GOAL: Final = 3000


async def run(bench: FhirBench) -> list[Result]:
    chance = random.Random(2)

    def work(side: Side) -> Work:
        async def read(connection: Connection, turn: int) -> None:
            place = chance.choice(bench.sample.resources)
            status, _ = await connection.request("GET", f"/fhir/R4/{place}")
            if status != 200:
                raise RuntimeError(f"{side.name}: GET {place} answered {status}")

        return read

    return results("read by id", *await in_turns(bench, work), goal=RATE_GOAL)
