"""A national table of codes as CSV, read as a CodeSystem. RFC 4180; the separator may be comma, semicolon or tab.

The first row names the columns. `code` is needed; `display`, `definition`, `parent`, `inactive` and `display:<language>` are
understood, under common French names too; every other column becomes a property. A row that is wrong is named with its number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.records.loading.reading import Loaded, Rejected, checked
from cloister.records.search.fold import fold

ROWS_MAX: Final = 2_000_000
FIELD_CHARACTERS_MAX: Final = 20_000
COLUMNS: Final = {
    "code": frozenset({"code", "id", "identifiant", "cle"}),
    "display": frozenset({"display", "label", "libelle", "nom", "name", "libelle long"}),
    "definition": frozenset({"definition", "description"}),
    "parent": frozenset({"parent", "code parent", "code_parent", "pere"}),
    "inactive": frozenset({"inactive", "inactif"}),
}
TRUE: Final = frozenset({"1", "true", "yes", "oui", "vrai", "o", "y", "x"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How a table is to be read: the address of its code system, and which column is what where the names do not say."""

    url: str
    title: str = ""
    version: str = ""
    language: str = ""
    columns: Mapping[str, str] | None = None


def read_table(body: bytes, table: Table, where: str) -> Loaded:
    """The table as a CodeSystem. Raises Invalid when there is no column of codes or no good row."""
    text = _text(body, where)
    reader = csv.reader(io.StringIO(text), delimiter=_separator(text), strict=True)
    try:
        rows = list(reader)
    except csv.Error as broken:
        raise Invalid(f"{where} is no CSV: {broken}, at line {reader.line_num}.", hint="Quote fields as RFC 4180 says.") from None
    if not rows:
        raise Invalid(f"{where} is empty.", hint="The first row names the columns.")
    roles = _roles(rows[0], table, where)
    loaded = Loaded(name=table.title or where.rpartition(".")[0] or where)
    concepts: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows[1 : ROWS_MAX + 1], start=2):
        if any(cell.strip() for cell in row):
            _take(loaded, concepts, roles, row, f"{where} line {number}")
    for code in [code for code, one in concepts.items() if _parent(one) not in concepts and _parent(one)]:
        loaded.rejected.append(Rejected(f"{where} code {code[:80]}", "Its parent is not in the table.", "It was kept without a parent."))
        others = [one for one in concepts[code].pop("property") if one["code"] != "parent"]
        if others:
            concepts[code]["property"] = others
    resource = _code_system(table, list(concepts.values()), roles)
    if not concepts:
        raise Invalid(f"{where} holds no row that can be used.", hint="See the rejected lines; the first row names the columns.")
    checked(resource)
    loaded.resources["CodeSystem", table.url, table.version] = resource
    return loaded


def _text(body: bytes, where: str) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid(f"{where} is neither UTF-8 nor Windows-1252.", hint="Save it as UTF-8.")


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    return max(";\t,", key=first.count)


def _roles(names: list[str], table: Table, where: str) -> list[str]:
    """What each column is: one of COLUMNS, display:<language>, or a property's name."""
    said = {fold(column): role for role, column in (table.columns or {}).items()}
    roles = []
    for name in names:
        plain = fold(name)
        known = next((role for role, also in COLUMNS.items() if plain in also and role not in roles), None)
        role = said.get(plain) or (None if table.columns and known in table.columns else known)
        if role is None and plain.startswith("display:"):
            role = f"display:{name.strip().partition(':')[2].strip()}"
        role = role or "".join(c if c.isalnum() else "-" for c in plain).strip("-")[:60] or "column"
        while role in roles:
            role += "-2"
        roles.append(role)
    if "code" not in roles:
        hint = "Name it in the first row as 'code', or say which it is: --column code=NAME."
        raise Invalid(f"{where} has no column of codes.", hint=hint)
    return roles


def _take(loaded: Loaded, concepts: dict[str, dict[str, Any]], roles: list[str], row: list[str], where: str) -> None:
    cells = {role: cell.strip() for role, cell in zip(roles, row, strict=False) if cell.strip()}
    code = cells.pop("code", "")
    wrong = _fault(code, cells, len(row) > len(roles), concepts)
    if wrong:
        loaded.rejected.append(Rejected(where, *wrong))
        return
    concept: dict[str, Any] = {"code": code}
    for role in ("display", "definition"):
        if role in cells:
            concept[role] = cells.pop(role)
    names = [{"language": role[8:], "value": cells.pop(role)} for role in list(cells) if role.startswith("display:")]
    if names:
        concept["designation"] = names
    properties: list[dict[str, Any]] = []
    for role, value in cells.items():
        if role == "inactive":
            properties.append({"code": role, "valueBoolean": fold(value) in TRUE})
        elif role == "parent":
            properties.append({"code": role, "valueCode": value})
        else:
            properties.append({"code": role, "valueString": value})
    if properties:
        concept["property"] = properties
    concepts[code] = concept


def _fault(code: str, cells: dict[str, str], too_many: bool, concepts: dict[str, dict[str, Any]]) -> tuple[str, str] | None:
    if not code:
        return "It has no code.", "Give it one, or leave the row out."
    if len(code) > 200 or code != " ".join(code.split()):
        return "Its code is no FHIR code.", "At most 200 characters, and no two blanks together."
    if code in concepts:
        return f"The code '{code[:80]}' stands above already.", "Leave one of the two out; the first was kept."
    if too_many:
        return "It has more fields than there are columns.", "Quote fields that hold the separator."
    if any(len(cell) > FIELD_CHARACTERS_MAX for cell in cells.values()):
        return "A field is too long.", f"At most {FIELD_CHARACTERS_MAX} characters."
    return None


def _parent(concept: dict[str, Any]) -> str:
    return next((str(one["valueCode"]) for one in concept.get("property", ()) if one["code"] == "parent"), "")


def _code_system(table: Table, concepts: list[dict[str, Any]], roles: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "CodeSystem",
        "url": table.url,
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
    }
    for name, value in (("title", table.title), ("version", table.version), ("language", table.language)):
        if value:
            made[name] = value
    if "parent" in roles:
        made["hierarchyMeaning"] = "is-a"
    if concepts:
        made["concept"] = concepts
    return made
