"""Group `hospital`: import, sign-in, sessions, reading, a chart, 120 people in one zone, against a throw-away running trust.

Everything that sends requests runs on the same processors as the trust, so the figures are what is left beside the client.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.hospital import chart, importing, reading, sessions, sign_in, zone
from benchmarks.hospital.bench import Bench
from benchmarks.measure import Result, missing, told
from benchmarks.trust import BenchTrust

Step = Callable[[Bench], Awaitable[list[Result]]]
# In this order: what later steps read is imported first, and the crowd comes last.
STEPS: Final[dict[str, Step]] = {
    "import": importing.run,
    "reading": reading.run,
    "chart": chart.run,
    "sign-in": sign_in.run,
    "zone": zone.run,
    "sessions": sessions.run,
}


async def run(only: list[str]) -> list[Result]:
    results = [told("load of this machine before the start (1 minute)", os.getloadavg()[0], "processes")]
    async with BenchTrust() as trust:
        bench = Bench(trust)
        for name, step in STEPS.items():
            if only and name not in (*only, "import"):
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
