"""POST Observation: one value of any patient."""

from __future__ import annotations

import random
from typing import Final

import orjson

from benchmarks.fhir.bench import FhirBench, Side
from benchmarks.fhir.turns import in_turns, results
from benchmarks.load import Connection, Work
from benchmarks.measure import Result
from benchmarks.written import observation

RATE_GOAL: Final = 800


async def run(bench: FhirBench) -> list[Result]:
    chance = random.Random(5)

    def work(side: Side) -> Work:
        async def create(connection: Connection, turn: int) -> None:
            patient, code = chance.choice(bench.sample.series)
            body = observation(patient, code, 71 + turn % 20)
            status, answer = await connection.request("POST", "/fhir/R4/Observation", orjson.dumps(body), "prefer: return=minimal\r\n")
            if status != 201:
                raise RuntimeError(f"{side.name}: POST Observation answered {status}: {answer[:200]!r}")

        return create

    return results("create", *await in_turns(bench, work), goal=RATE_GOAL)
