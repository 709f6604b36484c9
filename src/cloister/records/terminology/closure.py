"""Closure tables: which of the codes that a client has lie under which others. Spec: http://hl7.org/fhir/R4/terminology-service.html#closure.

A client brings its codes as it meets them, and gets for each what it needs in order to answer `is-a` in its own database. A table is in
the session's memory and ends with it; the standard has clients begin such a table anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.records.terminology.coding import Coded, located
from cloister.records.terminology.library import Library
from cloister.records.terminology.valuesets import Concept

TABLES_MAX: Final = 20
CODES_MAX: Final = 20_000  # of one table
NAME_CHARACTERS_MAX: Final = 64
AGAIN: Final = "Begin it anew: send its name alone, and then its codes."


@dataclass(frozen=True, slots=True)
class Line:
    """`narrower` lies under `wider`, known since this version of the table."""

    since: int
    system: str
    narrower: str
    wider: str


@dataclass(slots=True)
class Table:
    """`above`: of each code, by system, all codes over it, also those that the table does not have."""

    name: str
    began: datetime
    version: int = 1
    above: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(map(len, self.above.values()))

    def add(self, library: Library, given: Sequence[Coded]) -> list[Line]:
        """What is new in the table by these codes, all or none. Raises NotFound for an unknown code, Absent for an unknown system."""
        fresh: dict[tuple[str, str], frozenset[str]] = {}
        for one in given:
            concept = located(library, one)
            if concept.code not in self.above.get(one.system, {}):
                fresh[one.system, concept.code] = _over(concept)
        if self.size + len(fresh) > CODES_MAX:
            raise Invalid(f"A closure table holds at most {CODES_MAX:,} codes.", hint="Use several tables.", reason="too-costly")
        if fresh:
            self.version += 1
        made = []
        for (system, code), above in fresh.items():
            known = self.above.setdefault(system, {})
            made += [Line(self.version, system, code, wider) for wider in sorted(above & known.keys())]
            made += [Line(self.version, system, narrower, code) for narrower, theirs in known.items() if code in theirs]
            known[code] = above
        self.lines += made
        return made


def _over(concept: Concept) -> frozenset[str]:
    """All codes over this one; none in a system without a hierarchy."""
    of, number = concept.of, concept.number
    if of is None or number is None:
        return frozenset()
    return frozenset(of.code(place) for place in of.over(number) if place != number)


class Closures:
    """The tables of one session."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}

    def begin(self, name: str, now: datetime) -> Table:
        """An empty table, in place of one of that name."""
        if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
            raise Invalid("This is no name of a table.", hint=f"Use at most {NAME_CHARACTERS_MAX} signs.", expression="name")
        if name not in self._tables and len(self._tables) >= TABLES_MAX:
            raise Conflict(f"This session has {TABLES_MAX} closure tables.", hint="Use one of them anew.", reason="too-many")
        table = self._tables[name] = Table(name, now)
        return table

    def table(self, name: str) -> Table:
        found = self._tables.get(name)
        if found is None:
            raise NotFound(
                "There is no closure table of this name in this session.", hint=AGAIN, reason="closure-unknown", expression="name"
            )
        return found


def since(table: Table, version: str) -> list[Line]:
    """What came after this version of the table."""
    if not version.isascii() or not version.isdigit() or len(version) > 9 or not 0 < int(version) <= table.version:
        raise Invalid("This table never had that version.", hint=AGAIN, reason="closure-version", expression="version")
    return [line for line in table.lines if line.since > int(version)]


def concept_map(table: Table, lines: Sequence[Line]) -> dict[str, Any]:
    """http://hl7.org/fhir/R4/conceptmap.html: the source is the narrower code; the target subsumes it."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        found.setdefault(line.system, {}).setdefault(line.narrower, []).append(line.wider)
    body: dict[str, Any] = {
        "resourceType": "ConceptMap", "version": str(table.version), "name": table.name, "status": "active", "experimental": True,
        "date": table.began.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }  # fmt: skip
    if found:
        body["group"] = [
            {
                "source": system,
                "target": system,
                "element": [
                    {"code": code, "target": [{"code": one, "equivalence": "subsumes"} for one in wider]} for code, wider in under.items()
                ],
            }
            for system, under in found.items()
        ]
    return body
