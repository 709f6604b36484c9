"""Group `gateway`: what the way in costs. A step is a file of this folder, and a line in STEPS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.gateway import deciding, door, edge, rollout
from benchmarks.measure import Result
from benchmarks.steps import Step, results_of


async def _edge(step: Callable[[edge.Gateways], Awaitable[list[Result]]]) -> list[Result]:
    with edge.gateways() as made:
        await edge.ready(made)
        return await step(made)


STEPS: Final[dict[str, Step]] = {
    "rates": lambda: _edge(edge.rates),
    "idle": lambda: _edge(edge.idle),
    "deciding": deciding.run,
    "rollout": rollout.run,
    "door": door.run,
}


async def run(only: list[str]) -> list[Result]:
    return await results_of(STEPS, only)
