"""Patient search: one box for name, birth date and number; traits to compare, no banner (it stands for one patient only)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Link, Module, Screen
from cloister.epr.modules.patients.screens import search_by_form, search_by_link

PATIENTS: Final = Module(
    name="patients",
    resources=frozenset({"Patient"}),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients", handler=search_by_link),
        Screen(path="/patients", handler=search_by_form, methods=("POST",)),
    ),
    top=(Link(path="/patients", label="patients.name", key="g"),),
)
