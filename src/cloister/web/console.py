"""What the administrator sees: rows exactly as the database holds them, and what can be learned from them. No key is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.access import ESTATE, Action, Facts
from cloister.epr import Visit
from cloister.web.desk import Desk

ROWS: Final = 8
HEX_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a row; bytes are shown as the beginning of their hex, with their length."""

    text: str
    is_bytes: bool = False
    length: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str  # a key of the words: what one can learn from this


async def show_ciphertext(request: Request) -> Response:
    visit, desk = Visit.of(request), request.state.desk
    assert isinstance(desk, Desk)
    desk.policy.decide(desk.actor, Action.LOOK_CIPHERTEXT, Facts(kind=ESTATE))
    looked = await desk.gate.call("look_ciphertext", limit=ROWS)
    tables = [table(found) for found in looked["tables"]]
    sizes = [(str(name), int(rows), int(size)) for name, rows, size in looked["sizes"]]
    return visit.page("ciphertext.html", nav="/console/ciphertext", tables=tables, sizes=sizes, shown=ROWS)


def table(found: Mapping[str, Any]) -> Table:
    name = str(found["table"])
    rows = [[cell(value) for value in row] for row in found["rows"]]
    return Table(name, [str(column) for column in found["columns"]], rows, f"web.console.note.{name}")


def cell(value: Any) -> Cell:
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        shown = raw[:HEX_BYTES].hex(" ", 4) + (" …" if len(raw) > HEX_BYTES else "")
        return Cell(shown, True, len(raw))
    if isinstance(value, list | tuple):
        return Cell(", ".join(str(item) for item in value[:4]) + (f" … ({len(value)})" if len(value) > 4 else ""), True)
    return Cell("" if value is None else str(value))
