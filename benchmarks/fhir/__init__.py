"""Group `fhir`: the FHIR endpoint through the gateway, sealed, and the same work on plaintext JSONB in the same run.

Both hold the same records. `CLOISTER_BENCH_RESOURCES` says how many are made up (40,000 unless said otherwise); what is asked for is
drawn from what was loaded.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.fhir import creating, everything, importing, reading, searching
from benchmarks.fhir.bench import FhirBench
from benchmarks.measure import Result, missing, told
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
    results = [told("load of this machine before the start (1 minute)", os.getloadavg()[0], "processes")]
    async with BenchTrust() as trust, FhirBench(trust) as bench:
        results.append(told("resources loaded", bench.loaded.resources, "resources"))
        for name, step in STEPS.items():
            if only and name not in only:
                continue
            began = time.monotonic()
            print(f"· {name}", end=" ", flush=True, file=sys.stderr)
            try:
                results += await step(bench)
            except Exception as failed:  # the edge of a step: the others are still worth measuring
                traceback.print_exc()
                results.append(missing(name, "", f"{type(failed).__name__}: {str(failed)[:80]}"))
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return results
