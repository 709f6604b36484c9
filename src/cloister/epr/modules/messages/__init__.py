"""Messages of other systems that wait for a person: a list without a patient's word, one opened in the session, replayed or put aside."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.epr.kit.access import DOCTORS
from cloister.epr.kit.module import Link, Module, Screen
from cloister.epr.modules.messages.screens import decide, show_message, show_messages

MESSAGES: Final = Module(
    name="messages",
    resources=frozenset(),
    folder=Path(__file__).parent,
    screens=(
        Screen(path="/messages", handler=show_messages, roles=DOCTORS),
        Screen(path="/messages/{message}", handler=show_message, roles=DOCTORS),
        Screen(path="/messages/{message}", handler=decide, methods=("POST",), roles=DOCTORS),
    ),
    roles=DOCTORS,
    top=(Link(path="/messages", label="messages.name", roles=DOCTORS),),
)
