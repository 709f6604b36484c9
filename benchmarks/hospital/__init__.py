"""Group `hospital`: import, sign-in, sessions, reading, a chart, 120 people in one zone, against a throw-away running trust.

Everything that sends requests runs on the same processors as the trust, so the figures are what is left beside the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from benchmarks.hospital import chart, importing, reading, sessions, sign_in, zone
from benchmarks.hospital.bench import Bench
from benchmarks.measure import Result
from benchmarks.steps import load_now, results_of
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
    before = [load_now()]
    async with BenchTrust() as trust:
        bench = Bench(trust)
        return await results_of(
            {name: partial(step, bench) for name, step in STEPS.items()}, [*only, "import"] if only else [], before=before
        )
