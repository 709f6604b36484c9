"""The same work on the sealed record and on the plaintext baseline, in turns, so that both meet the same machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.fhir.bench import FhirBench, Side
from benchmarks.load import Work, paced, saturated
from benchmarks.measure import Result, at_least, at_most, percentile, ratio_at_least, rounded, told
from benchmarks.processor import used_by

ROUNDS: Final = 3
SECONDS: Final = 5.0
WARM_SECONDS: Final = 6.0
RATIO_GOAL: Final = 1.0


@dataclass(slots=True)
class Measured:
    """Of one side: work a second in each round, milliseconds of each piece, milliseconds of processor time for each."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


async def in_turns(bench: FhirBench, work: Callable[[Side], Work]) -> tuple[Measured, Measured]:
    """(sealed, plaintext), each without pause on all connections."""
    sides = (bench.sealed, bench.plain)
    found = (Measured(), Measured())
    for side in sides:
        await saturated(side.connections, work(side), seconds=WARM_SECONDS)
    for _ in range(ROUNDS):
        for side, measured in zip(sides, found, strict=True):
            before = used_by(side.processes)
            rate, times = await saturated(side.connections, work(side), seconds=SECONDS)
            measured.costs.append((used_by(side.processes) - before) / len(times) * 1000)
            measured.rates.append(rate)
            measured.times += times
    return found


async def at_rate(side: Side, work: Work, per_second: float) -> list[float]:
    """Milliseconds of each when so many come in a second, evenly spread; waiting for a free connection counts."""
    _, times = await paced(side.connections, work, seconds=2 * SECONDS, each_per_second=per_second / len(side.connections))
    return times


def results(name: str, sealed: Measured, plain: Measured, *, goal: float, unit: str = "requests/s") -> list[Result]:
    """The lines that every step has."""
    return [
        at_least(name, sealed.rate, unit, goal),
        ratio_at_least(f"{name}, against plaintext JSONB", sealed.rate, plain.rate, unit, RATIO_GOAL),
        Result(
            name=f"{name}, processor time a request",
            value=rounded(sealed.cost),
            unit="ms",
            baseline=rounded(plain.cost),
            ratio=rounded(plain.cost / sealed.cost),
        ),
        Result(
            name=f"{name}, p99 without pause",
            value=rounded(percentile(sealed.times, 99)),
            unit="ms",
            baseline=rounded(percentile(plain.times, 99)),
        ),
    ]


def paced_results(name: str, times: list[float], goal: float) -> list[Result]:
    return [told(f"{name}, p50", percentile(times, 50), "ms"), at_most(f"{name}, p99", percentile(times, 99), "ms", goal)]
