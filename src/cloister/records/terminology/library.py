"""What is loaded: every code system, value set, concept map and profile of the packs, by canonical address.

Spec: http://hl7.org/fhir/R4/references.html#canonical. Packs of the trust go before the definitions of R4; of several
versions the highest counts unless one is named. A session's own registers are laid over this for one question (Overlay),
and never in place of what is loaded: nobody who may write a ValueSet changes what everybody's codes are checked against.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cloister.base.errors import CloisterError
from cloister.records.terminology.codesystem import CodeSystem
from cloister.records.terminology.pack import Entry, Pack

KEPT_MAX: Final = 256  # resources that are opened, the least recently used goes first
RANKS: Final = {"not-present": 0, "example": 1, "fragment": 2}  # CodeSystem.content; all else is whole
NUMBER: Final = re.compile(r"\d+")


class Absent(CloisterError):
    """A code system, value set or other definition that is not loaded."""

    category = "not-found"

    def __init__(self, kind: str, canonical: str) -> None:
        text = f"The {kind} {canonical[:200]} is not loaded."
        hint = "Load it with 'cloister terminology load', or create it over FHIR in your register."
        super().__init__(text, hint=hint, reason="not-loaded")
        self.kind = kind
        self.canonical = canonical


class Library:
    """The packs, looked into by address. What is opened is kept, within a bound."""

    def __init__(self, packs: Sequence[Pack], below: Library | None = None) -> None:
        self.packs = tuple(packs)
        self._below = below
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._places: dict[tuple[str, str], list[tuple[Pack, Entry]]] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._whole: dict[str, str] | None = None
        self._supplements: dict[str, list[tuple[Pack, Entry]]] = {}
        for pack in reversed(self.packs):
            for entry in pack.entries:
                self._ids[entry.kind, entry.id] = f"{entry.url}|{entry.version}" if entry.version else entry.url
        for pack in self.packs:
            for entry in pack.entries:
                if entry.note == "supplement":
                    of = pack.code_system(entry).head.get("supplements", "").partition("|")[0]
                    self._supplements.setdefault(of, []).append((pack, entry))
                else:
                    self._places.setdefault((entry.kind, entry.url), []).append((pack, entry))

    def entry(self, kind: str, canonical: str) -> tuple[Pack, Entry] | None:
        """Where a canonical address leads, of an overlay what lies below it first; None when it is not loaded."""
        found = self._below.entry(kind, canonical) if self._below is not None else None
        if found is not None:
            return found
        url, _, version = canonical.partition("|")
        several = self._places.get((kind, url), [])
        if version:
            several = [one for one in several if one[1].version == version]
        return max(several, key=_rank) if several else None

    def code_system(self, canonical: str) -> CodeSystem:
        """Raises Absent when it is not loaded."""
        found = self._opened("CodeSystem", canonical)
        assert isinstance(found, CodeSystem)
        return found

    def resource(self, kind: str, canonical: str) -> dict[str, Any]:
        """A ValueSet, ConceptMap or StructureDefinition; raises Absent when it is not loaded. It is shared: not to be changed."""
        found = self._opened(kind, canonical)
        assert isinstance(found, dict)
        return found

    def has(self, kind: str, canonical: str) -> bool:
        return self.entry(kind, canonical) is not None

    def by_id(self, kind: str, id: str) -> str | None:
        """The canonical address of what is loaded under an id."""
        own = self._ids.get((kind, id))
        return own if own is not None or self._below is None else self._below.by_id(kind, id)

    def supplements(self, system: str) -> list[CodeSystem]:
        """Further names of a code system's concepts (codesystem.html#supplements)."""
        own = [pack.code_system(entry) for pack, entry in self._supplements.get(system, ())]
        return own + (self._below.supplements(system) if self._below is not None else [])

    def entries(self, kind: str) -> Iterator[Entry]:
        """Every entry of a kind, for lists; what is loaded before what lies over it."""
        if self._below is not None:
            yield from self._below.entries(kind)
        for pack in self.packs:
            yield from (entry for entry in pack.entries if entry.kind == kind)

    def system_of(self, value_set: str) -> str | None:
        """The code system that names this value set as that of all its codes (CodeSystem.valueSet)."""
        if self._whole is None:
            self._whole = {}
            for pack in self.packs:
                for entry in pack.entries:
                    whole = pack.code_system(entry).head.get("valueSet") if entry.kind == "CodeSystem" else None
                    if whole:
                        self._whole[str(whole).partition("|")[0]] = entry.url
        own = self._whole.get(value_set)
        return own if own is not None or self._below is None else self._below.system_of(value_set)

    def _opened(self, kind: str, canonical: str) -> CodeSystem | dict[str, Any]:
        place = self.entry(kind, canonical)
        if place is None:
            raise Absent(kind, canonical)
        pack, entry = place
        key = (pack.name, entry.start)
        kept: CodeSystem | dict[str, Any] | None = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = pack.code_system(entry) if kind == "CodeSystem" else pack.resource(entry)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return kept


def _rank(place: tuple[Pack, Entry]) -> tuple[int, tuple[list[int], str]]:
    """The whole of a code system goes before a part of it, and a part before its name alone; then the highest version."""
    entry = place[1]
    return RANKS.get(entry.note, len(RANKS)), version_key(entry.version)


def version_key(version: str) -> tuple[list[int], str]:
    """2.10 is after 2.9, and 20260101 after 2025."""
    return [int(one) for one in NUMBER.findall(version)[:6]], version
