"""Group `fhir`: the FHIR endpoint through the gateway, sealed, and the same work on plaintext JSONB in the same run.

Both hold the same records. `CLOISTER_BENCH_RESOURCES` says how many are made up (40,000 unless said otherwise); what is asked for is
drawn from what was loaded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from benchmarks.fhir import creating, everything, importing, reading, searching
from benchmarks.fhir.bench import FhirBench
from benchmarks.measure import Result, told
from benchmarks.steps import load_now, results_of
from benchmarks.trust import BenchTrust

Step = Callable[[FhirBench], Awaitable[list[Result]]]
# In this order: what is created comes last, so that the others find what was loaded.
STEPS: Final[dict[str, Step]] = {
    "import": importing.run,
    "bytes": importing.stored,
    "read": reading.run,
    "search": searching.run,
    "everything": everything.run,
    "create": creating.run,
}


async def run(only: list[str]) -> list[Result]:
    before = [load_now()]
    async with BenchTrust() as trust, FhirBench(trust) as bench:
        before.append(told("resources loaded", bench.loaded.resources, "resources"))
        return await results_of({name: partial(step, bench) for name, step in STEPS.items()}, only, before=before)
