"""Problems: what the patient has and had (Condition), with ICD-10 codes. Doctors write; nurses read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.access import DOCTORS
from cloister.epr.kit.module import Card, Link, Module, Screen
from cloister.epr.modules.problems.model import events
from cloister.epr.modules.problems.screens import NEEDS, draw_card, new_problem, save_problem, show_problems

PROBLEMS: Final = Module(
    name="problems",
    resources=frozenset({"Condition"}),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients/{id}/problems", handler=show_problems),
        Screen(path="/patients/{id}/problems/new", handler=new_problem, roles=DOCTORS),
        Screen(path="/patients/{id}/problems/new", handler=save_problem, methods=("POST",), roles=DOCTORS),
    ),
    actions=(Link(path="/problems/new", label="problems.new", key="p", roles=DOCTORS),),
    card=Card(template="problems/card.html", column="main", needs=NEEDS, draw=draw_card),
    events=events,
    timeline={"Condition": 1000},
)
