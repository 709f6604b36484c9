"""GET Patient/id/$everything of patients with 500 resources."""

from __future__ import annotations

import random
from typing import Final

from benchmarks.fhir.bench import FhirBench, Side
from benchmarks.fhir.turns import in_turns, results
from benchmarks.load import Connection, Work
from benchmarks.measure import Result

RATE_GOAL: Final = 30


async def run(bench: FhirBench) -> list[Result]:
    chance = random.Random(4)

    def work(side: Side) -> Work:
        async def everything(connection: Connection, turn: int) -> None:
            patient, resources = chance.choice(bench.sample.large)
            status, body = await connection.request("GET", f"/fhir/R4/Patient/{patient}/$everything")
            if status != 200 or body.count(b'"fullUrl"') < resources:
                raise RuntimeError(f"{side.name}: Patient/{patient}/$everything answered {status} with {body.count(b'fullUrl')} entries")

        return everything

    return results("$everything of a 500-resource patient", *await in_turns(bench, work), goal=RATE_GOAL)
