"""Current medication (MedicationRequest, MedicationStatement). Reading only; prescribing is a module of its own to come."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Card, Module, Screen
from cloister.epr.modules.medication.model import NEEDS, draw_card, events, show_medication

MEDICATION: Final = Module(
    name="medication",
    resources=frozenset({"MedicationRequest", "MedicationStatement"}),
    folder=Path(__file__).parent,
    screens=(Screen(path="/patients/{id}/medication", handler=show_medication),),
    card=Card(template="medication/card.html", column="main", needs=NEEDS, draw=draw_card),
    events=events,
    timeline={"MedicationRequest": 1000, "MedicationStatement": 500},
)
