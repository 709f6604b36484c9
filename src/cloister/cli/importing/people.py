"""`cloister import LIST.csv`: a list of patients, line by line; who is here already stays as they are. docs/integration.md."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson

from cloister.base.errors import NotFound
from cloister.cli.importing.bundles import MADE
from cloister.cli.importing.unit import Rejected, Unit
from cloister.integration import people

TOGETHER: Final = 100  # lines of one transaction
STAGE: Final = 1


def open_people(path: Path, mapping: Path | None, system: str) -> people.PeopleList:
    chosen = people.read_mapping(_read(mapping)) if mapping is not None else people.ListMapping()
    return people.open_list(_read(path), chosen, system)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from wrong


def units_of(found: people.PeopleList, name: str) -> Iterator[Unit | Rejected]:
    """Transactions of conditional creates: http://hl7.org/fhir/R4/http.html#ccreate."""
    chunk: list[people.Row] = []
    for row in people.rows(found):
        if isinstance(row, people.Wrong):
            yield Rejected(file=name, entry=row.number, resource="Patient", element=row.column, rule="csv", text=row.text, hint=row.hint)
            continue
        chunk.append(row)
        if len(chunk) == TOGETHER:
            yield _unit(found, name, chunk)
            chunk = []
    if chunk:
        yield _unit(found, name, chunk)


def _unit(found: people.PeopleList, name: str, rows: list[people.Row]) -> Unit:
    body = {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(found.system, row) for row in rows]}
    return Unit(source=name, body=orjson.dumps(body), numbers=tuple(row.number for row in rows), stage=STAGE, position=rows[-1].number)


def _entry(system: str, row: people.Row) -> dict[str, Any]:
    token = f"{_escaped(system)}|{_escaped(row.identifier)}"
    return {
        "fullUrl": f"urn:uuid:{uuid.uuid5(MADE, f'{system}|{row.identifier}')}",
        "resource": row.patient,
        "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={quote(token, safe='')}"},
    }


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in "\\,|$" else one for one in text)
