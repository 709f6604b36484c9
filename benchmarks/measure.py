"""A measurement: its value, what it is compared with, and whether what was promised holds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of a group. `baseline` and `ratio` stand where something was measured beside it; None is 'not measured'."""

    name: str
    value: float | None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: str = ""
    holds: bool | None = None


def at_least(name: str, value: float, unit: str, goal: float) -> Result:
    return Result(name=name, value=rounded(value), unit=unit, goal=f">= {goal:g}", holds=value >= goal)


def at_most(name: str, value: float, unit: str, goal: float) -> Result:
    return Result(name=name, value=rounded(value), unit=unit, goal=f"<= {goal:g}", holds=value <= goal)


def ratio_at_least(name: str, value: float, baseline: float, unit: str, goal: float) -> Result:
    """How much of the baseline's value is reached."""
    ratio = value / baseline if baseline else math.inf
    return Result(
        name=name,
        value=rounded(value),
        unit=unit,
        baseline=rounded(baseline),
        ratio=rounded(ratio),
        goal=f"ratio >= {goal:g}",
        holds=ratio >= goal,
    )


def told(name: str, value: float, unit: str) -> Result:
    """A figure without a goal."""
    return Result(name=name, value=rounded(value), unit=unit)


def missing(name: str, unit: str, why: str) -> Result:
    """What could not be measured here; says why."""
    return Result(name=f"{name} (not measured: {why})", value=None, unit=unit)


def rounded(value: float) -> float:
    """Four significant figures."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, 3 - math.floor(math.log10(abs(value))))


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(percent / 100 * len(ordered)) - 1))]


def show(group: str, results: Sequence[Result]) -> None:
    table = Table(title=group, title_justify="left", box=None, pad_edge=False)
    for name in ("what", "value", "unit", "baseline", "ratio", "goal", "holds"):
        table.add_column(name, justify="right" if name in ("value", "baseline", "ratio") else "left")
    for one in results:
        holds = {True: "yes", False: "NO", None: ""}[one.holds]
        table.add_row(one.name, _figure(one.value), one.unit, _figure(one.baseline), _figure(one.ratio), one.goal, holds)
    Console(width=None if Console().is_terminal else 160).print(table)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def save(group: str, results: Sequence[Result]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{group}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.write_text(json.dumps([asdict(one) for one in results], indent=1, ensure_ascii=False) + "\n")
    return path
