"""Laboratory results (Observation, category laboratory): tests by date with range flags. Reading only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Card, Link, Module, Screen
from cloister.epr.modules.results.model import NEEDS, draw_card, events, show_results

RESULTS: Final = Module(
    name="results",
    resources=frozenset({"Observation", "DiagnosticReport"}),
    folder=Path(__file__).parent,
    screens=(Screen(path="/patients/{id}/results", handler=show_results),),
    tabs=(Link(path="/results", label="results.name", key="r"),),
    card=Card(template="results/card.html", column="main", needs=NEEDS, draw=draw_card),
    events=events,
    timeline={"Observation": 3000},
)
