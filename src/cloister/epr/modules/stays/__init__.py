"""Stays and visits (Encounter): where the patient is and was. Reading only; admissions are a module of their own to come."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Card, Module, Screen
from cloister.epr.modules.stays.model import NEEDS, draw_card, events, show_stays

STAYS: Final = Module(
    name="stays",
    resources=frozenset({"Encounter"}),
    folder=Path(__file__).parent,
    screens=(Screen(path="/patients/{id}/stays", handler=show_stays),),
    card=Card(template="stays/card.html", column="side", needs=NEEDS, draw=draw_card),
    events=events,
    timeline={"Encounter": 2000},
)
