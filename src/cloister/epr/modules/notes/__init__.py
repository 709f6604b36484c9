"""Notes and letters (DocumentReference with its text inside, Composition read too). Doctors and nurses write."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.module import Card, Link, Module, Screen
from cloister.epr.modules.notes.screens import draw_card, events, new_note, save_note, show_note, show_notes

NOTES: Final = Module(
    name="notes",
    resources=frozenset({"DocumentReference", "Composition"}),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/patients/{id}/notes", handler=show_notes),
        Screen(path="/patients/{id}/notes/new", handler=new_note),
        Screen(path="/patients/{id}/notes/new", handler=save_note, methods=("POST",)),
        Screen(path="/patients/{id}/notes/{kind}/{note}", handler=show_note),
    ),
    tabs=(Link(path="/notes", label="notes.name", key=""),),
    actions=(Link(path="/notes/new", label="notes.new", key="n"),),
    card=Card(template="notes/card.html", column="side", needs={"DocumentReference": 60, "Composition": 30}, draw=draw_card),
    events=events,
    timeline={"DocumentReference": 1000, "Composition": 500},
)
