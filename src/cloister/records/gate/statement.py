"""What a statement is: a name, the exact form of its arguments, and a function that runs it for one caller.

A statement restricts itself by `call.zones`, the zones of the calling person as the gate found them in
trust."grant"; nothing that a session sends can widen them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from cloister.records.gate.asked import Asked
from cloister.records.gate.connections import Connections
from cloister.records.gate.heads import Heads
from cloister.records.gate.proofs import Proofs
from cloister.records.gate.together import Together

ROWS_MAX: Final = 5000  # rows of one answer
NOTES_MAX: Final = 2000  # audit notes of one call
RESOURCES_MAX: Final = 50_000  # of one write
TEXT_MAX: Final = 200


def visible(dossier: str) -> str:
    """SQL: this dossier is open to a zone of the caller, $1. The limit keeps the planner from turning the question round
    and walking through every dossier of the zone."""
    return f"(select true from care.dossier_key k where k.dossier = {dossier} and k.zone = any ($1) limit 1)"


RowId = Annotated[bytes, Meta(min_length=16, max_length=16)]
ZoneName = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Small = Annotated[int, Meta(ge=0, lt=2**15)]
Medium = Annotated[int, Meta(ge=0, lt=2**31)]


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """What a session wants written in the audit log; who, when and in which session is added by the gate."""

    action: Text
    kind: Text
    object: Text = ""
    outcome: Text = "success"
    reason: Text = ""


Notes = Annotated[list[Note], Meta(max_length=NOTES_MAX)]


class Arguments(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of every statement's arguments. The notes are durable before the answer is given."""

    audit: Notes = []


class Call(Struct, frozen=True, kw_only=True):
    """One call: who asks, what may be touched, and the way to the database."""

    person: str
    session: str
    role: str
    zones: tuple[str, ...]
    database: Connections
    proofs: Proofs
    rows: Together[tuple[int, bytes]]  # (type, id)
    opened: Together[Any]  # reading.Open
    charts: Together[Any]  # reading.Rows of one dossier
    writes: Together[Any]  # writing.Write of one resource
    asked: Asked
    heads: Heads | None  # None: what answers may be older than what was written here


Run = Callable[[Call, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Statement:
    """`noted_first`: the notes are written while it runs and before its answer; otherwise after it has succeeded.

    `notes`: what the gate itself notes about the arguments, durable before the statement begins.
    `changes_keys`: afterwards a dossier may be wrapped for other zones, or under another key.
    """

    name: str
    arguments: type[Arguments]
    run: Run
    noted_first: bool = True
    notes: Callable[[Any], Sequence[Note]] | None = None
    changes_keys: bool = False


async def fetch(call: Call, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows as tuples, the form in which they go over the wire."""
    return [tuple(row) for row in await call.database.fetch(sql, *values)]
