"""Allergies and intolerances (AllergyIntolerance). Doctors and nurses read and write."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Card, Link, Module, Screen
from cloister.epr.modules.allergies.screens import draw_card, events, new_allergy, save_allergy, show_allergies

ALLERGIES: Final = Module(
    name="allergies",
    resources=frozenset({"AllergyIntolerance"}),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients/{id}/allergies", handler=show_allergies),
        Screen(path="/patients/{id}/allergies/new", handler=new_allergy),
        Screen(path="/patients/{id}/allergies/new", handler=save_allergy, methods=("POST",)),
    ),
    actions=(Link(path="/allergies/new", label="allergies.new", key="a"),),
    card=Card(template="allergies/card.html", column="side", needs={"AllergyIntolerance": 200}, draw=draw_card),
    events=events,
    timeline={"AllergyIntolerance": 200},
)
