"""$expand: the codes of a value set, a page of them. http://hl7.org/fhir/R4/valueset-operation-expand.html.

The list is flat. Without `count` it is given whole up to LISTED_MAX codes; a longer one is refused by name as too costly, so that
no client takes a part for the whole.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.records.search.fold import fold
from cloister.records.terminology.naming import designations, display
from cloister.records.terminology.valuesets import Composed, Concept, ValueSets, too_costly

LISTED_MAX: Final = 5_000
PAGE_MAX: Final = 5_000
KEPT_MAX: Final = 4  # whole lists, for the next page
CONCEPTS_KEPT_MAX: Final = 100_000  # in all of them; the last one is kept whatever its length


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parameters of $expand. `count` None: everything."""

    filter: str = ""
    offset: int = 0
    count: int | None = None
    language: str = ""
    active: bool = False
    designations: bool = False
    definition: bool = False
    selectable: bool = False  # excludeNotForUI: without abstract concepts
    composition: bool = False  # includeDefinition: the value set as it was composed goes along


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole list, and the code systems in it with their versions."""

    value_set: Composed
    concepts: list[Concept]
    used: list[str]


class Expander:
    """Lists value sets, and keeps the last few lists for further pages."""

    def __init__(self, value_sets: ValueSets) -> None:
        self._value_sets = value_sets
        self._kept: OrderedDict[tuple[int, str, str, bool, bool], Whole] = OrderedDict()

    def expand(self, value_set: Composed, asked: Asked, *, now: datetime) -> dict[str, Any]:
        """The ValueSet with its expansion. Raises Absent for a system that is not loaded, Invalid as 'too-costly'."""
        whole = self._all(value_set, asked)
        found = whole.concepts
        if asked.count is None and len(found) - asked.offset > LISTED_MAX:
            raise too_costly()
        count = LISTED_MAX if asked.count is None else min(asked.count, PAGE_MAX)
        page = found[asked.offset : asked.offset + count]
        left_out = ("text", "contained", "expansion") if asked.composition else ("text", "contained", "expansion", "compose")
        made = {name: value for name, value in value_set.resource.items() if name not in left_out}
        made.setdefault("status", "active")
        made["expansion"] = {
            "identifier": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, repr((made.get('url'), made.get('version'), asked)))}",
            "timestamp": now.isoformat(timespec="seconds"),
            "total": len(found),
            "offset": asked.offset,
            "parameter": _parameters(asked, whole.used),
        }
        if page:
            made["expansion"]["contains"] = [self._contained(concept, asked) for concept in page]
        return made

    def _all(self, value_set: Composed, asked: Asked) -> Whole:
        key = (id(value_set), fold(asked.filter), asked.language if asked.filter else "", asked.active, asked.selectable)
        kept = self._kept.get(key)
        if kept is None:
            listed = self._value_sets.concepts(value_set, words=asked.filter)
            found = [one for one in listed if self._wanted(one, asked)]
            used = {one.of.url: one.of.version for one in found if one.of is not None}
            kept = Whole(value_set, found, [f"{url}|{version}" if version else url for url, version in used.items()])
            self._kept[key] = kept
            while len(self._kept) > KEPT_MAX or (len(self._kept) > 1 and self._concepts_kept() > CONCEPTS_KEPT_MAX):
                self._kept.popitem(last=False)
        return kept

    def _concepts_kept(self) -> int:
        return sum(len(one.concepts) for one in self._kept.values())

    def _wanted(self, concept: Concept, asked: Asked) -> bool:
        if (asked.active and concept.inactive) or (asked.selectable and concept.abstract):
            return False
        words = fold(asked.filter).split()
        if not words:
            return True
        text = fold(f"{concept.code} {concept.display}")
        if all(word in text for word in words):
            return True
        others = fold(" ".join(str(one.get("value", "")) for one in designations(self._value_sets.library, concept)))
        return bool(others) and all(word in f"{text} {others}" for word in words)

    def _contained(self, concept: Concept, asked: Asked) -> dict[str, Any]:
        library = self._value_sets.library
        made: dict[str, Any] = {"system": concept.system, "code": concept.code}
        name = display(library, concept, asked.language)
        if name:
            made["display"] = name
        if concept.inactive:
            made["inactive"] = True
        if concept.abstract:
            made["abstract"] = True
        if asked.designations:
            further = designations(library, concept)
            if further:
                made["designation"] = further
        return made


def _parameters(asked: Asked, used: list[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if asked.filter:
        made.append({"name": "filter", "valueString": asked.filter})
    if asked.count is not None:
        made.append({"name": "count", "valueInteger": asked.count})
    if asked.language:
        made.append({"name": "displayLanguage", "valueCode": asked.language})
    for name, value in (
        ("activeOnly", asked.active),
        ("includeDesignations", asked.designations),
        ("excludeNotForUI", asked.selectable),
        ("includeDefinition", asked.composition),
    ):
        if value:
            made.append({"name": name, "valueBoolean": True})
    made += [{"name": "version", "valueUri": one} for one in used]
    return made
