"""What a concept is called, in the language asked for, and everything else that is known of it.

Spec: http://hl7.org/fhir/R4/codesystem.html#designations, #supplements. Languages are matched as RFC 4647, 3.4 (lookup) does:
fr-CA is answered with fr where there is no fr-CA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cloister.records.terminology.codesystem import CodeSystem
from cloister.records.terminology.library import Library
from cloister.records.terminology.valuesets import Concept


def designations(library: Library, concept: Concept) -> list[dict[str, Any]]:
    """Every further name: of the value set's list, of the code system, and of its supplements."""
    found = list((concept.listed or {}).get("designation", ()))
    if concept.of is not None and concept.number is not None:
        found += concept.of.detail(concept.number).get("designation", ())
    for supplement, number in _supplementing(library, concept):
        if supplement.display(number):
            found.append({"language": supplement.head.get("language", ""), "value": supplement.display(number)})
        found += supplement.detail(number).get("designation", ())
    return [{name: value for name, value in one.items() if value} for one in found]


def properties(library: Library, concept: Concept) -> list[dict[str, Any]]:
    if concept.of is None or concept.number is None:
        return []
    found = list(concept.of.detail(concept.number).get("property", ()))
    for supplement, number in _supplementing(library, concept):
        found += supplement.detail(number).get("property", ())
    return found


def display(library: Library, concept: Concept, language: str = "") -> str:
    """The name in the language asked for; the code system's own where there is none in it."""
    own = concept.display or (concept.of.display(concept.number) if concept.of is not None and concept.number is not None else "")
    if not language:
        return own
    spoken = str(concept.of.head.get("language", "")) if concept.of is not None else ""
    named = [(str(one.get("language", "")), str(one["value"])) for one in designations(library, concept) if "value" in one]
    for wanted in ranges(language):
        if spoken and covers(wanted, spoken):
            return own
        for tongue, value in named:
            if covers(wanted, tongue):
                return value
    return own


def ranges(language: str) -> list[str]:
    """An Accept-Language header or a single tag, best first, each followed by what it may fall back to."""
    weighed = []
    for place, part in enumerate(language.split(",")[:16]):
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        weighed.append((-quality, place, tag.strip().lower()))
    found: list[str] = []
    for _, _, tag in sorted(weighed):
        while tag and tag != "*":
            found.append(tag)
            tag = tag.rpartition("-")[0]
    return list(dict.fromkeys(found))


def covers(wanted: str, tongue: str) -> bool:
    tongue = tongue.lower()
    return tongue == wanted or tongue.startswith(f"{wanted}-")


def _supplementing(library: Library, concept: Concept) -> Iterator[tuple[CodeSystem, int]]:
    for supplement in library.supplements(concept.system):
        number = supplement.find(concept.code)
        if number is not None:
            yield supplement, number
