"""Vital signs (Observation, category vital-signs): a trend card, all values, and a form. Doctors and nurses write."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Card, Link, Module, Screen
from cloister.epr.modules.vitals.screens import NEEDS, draw_card, events, new_observation, save_observation, show_vitals

VITALS: Final = Module(
    name="vitals",
    resources=frozenset({"Observation"}),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients/{id}/observations", handler=show_vitals),
        Screen(path="/patients/{id}/observations/new", handler=new_observation),
        Screen(path="/patients/{id}/observations/new", handler=save_observation, methods=("POST",)),
    ),
    actions=(Link(path="/observations/new", label="vitals.new", key="o"),),
    card=Card(template="vitals/card.html", column="main", needs=NEEDS, draw=draw_card),
    events=events,
    timeline={"Observation": 3000},
)
