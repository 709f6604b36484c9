"""My patients: who lies in my wards now, with bed, reason, day, alerts and new results. No banner: many patients on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Link, Module
from cloister.epr.modules.worklist.screens import show_work_list

WORKLIST: Final = Module(
    name="worklist",
    resources=frozenset({"Encounter", "Patient", "AllergyIntolerance", "Observation"}),
    folder=Path(__file__).parent,
    start=show_work_list,
    top=(Link(path="/", label="worklist.name", key="h"),),
)
