"""The chart: one patient's summary, made of the other modules' cards, and a timeline, made of their events."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Link, Module, Screen
from cloister.epr.modules.chart.screens import show_summary, show_timeline

CHART: Final = Module(
    name="chart",
    resources=frozenset({"Patient"}),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients/{id}", handler=show_summary),
        Screen(path="/patients/{id}/timeline", handler=show_timeline),
    ),
    tabs=(Link(path="", label="chart.summary", key="s"), Link(path="/timeline", label="chart.timeline", key="t")),
)
