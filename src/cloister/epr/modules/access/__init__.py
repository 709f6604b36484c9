"""Who can open this record: the zones that hold its key, the people granted in each. Asked of the record itself, not of a list of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Link, Module, Screen
from cloister.epr.modules.access.screens import renew_keys, show_access

ACCESS: Final = Module(
    name="access",
    resources=frozenset(),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients/{id}/access", handler=show_access),
        Screen(path="/patients/{id}/access", handler=renew_keys, methods=("POST",)),
    ),
    tabs=(Link(path="/access", label="access.name", key="w"),),
)
