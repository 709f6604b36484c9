"""Group `farm`: a step a file; what it measures and against what is said at its head. docs/farm.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from benchmarks.farm import killing, placements, programs, sessions, simulated_day
from benchmarks.measure import Result
from benchmarks.steps import results_of

Step = Callable[[list[str]], Awaitable[list[Result]]]
STEPS: Final[dict[str, Step]] = {
    "placements": placements.run,
    "sessions": sessions.run,
    "programs": programs.run,
    "simulated-day": simulated_day.run,
    "killing": killing.run,
}


async def run(only: list[str]) -> list[Result]:
    return await results_of({name: partial(step, only) for name, step in STEPS.items()}, only, shown=True)
