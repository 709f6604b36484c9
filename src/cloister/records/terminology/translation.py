"""$translate: from the codes of one system to those of another, by concept maps.

Spec: http://hl7.org/fhir/R4/conceptmap-operation-translate.html, conceptmap.html#unmapped. A map is asked in both directions;
`result` is true when at least one match is no "unmatched".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import NotFound
from cloister.records.terminology.coding import Coded, Parameters, parameters
from cloister.records.terminology.library import Library

OTHER_MAPS_MAX: Final = 8
UNMATCHED: Final = frozenset({"unmatched", "disjoint"})
# conceptmap-equivalence: what a relation is called when it is read from target to source.
TURNED: Final = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be translated, and where to: a target system or value set where the client names one."""

    given: Sequence[Coded]
    source: str = ""
    target: str = ""
    target_system: str = ""
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    equivalence: str
    system: str
    code: str
    display: str
    map: str


def translate(library: Library, maps: Sequence[dict[str, Any]], wanted: Wanted) -> Parameters:
    """Every match in these maps."""
    found = list(dict.fromkeys(match for one in maps for coded in wanted.given for match in matches(library, one, coded, wanted, 0)))
    good = any(one.equivalence not in UNMATCHED for one in found)
    parts: list[Parameters] = [{"name": "result", "valueBoolean": good}]
    if not found:
        parts.append({"name": "message", "valueString": "No map that is loaded translates this code."})
    return parameters([*parts, *(_part(one) for one in found)])


def maps_for(library: Library, wanted: Wanted) -> list[dict[str, Any]]:
    """The loaded maps that speak of the systems or value sets asked about. Raises NotFound when there is none."""
    found = []
    for entry in library.entries("ConceptMap"):
        one = library.resource("ConceptMap", f"{entry.url}|{entry.version}" if entry.version else entry.url)
        if _about(one, wanted):
            found.append(one)
    if not found:
        hint = "Load one with 'cloister terminology load', or name it in the parameter 'url'."
        raise NotFound("No concept map that is loaded speaks of these codes.", hint=hint, reason="not-loaded")
    return found


def _about(one: dict[str, Any], wanted: Wanted) -> bool:
    ends = [_ends(one, "target"), _ends(one, "source")] if wanted.reverse else [_ends(one, "source"), _ends(one, "target")]
    systems = {group.get("target" if wanted.reverse else "source") for group in one.get("group", ())}
    if not any(coded.system in systems for coded in wanted.given):
        return False
    if wanted.source and wanted.source.partition("|")[0] not in ends[0]:
        return False
    targets = {group.get("source" if wanted.reverse else "target") for group in one.get("group", ())}
    if wanted.target_system and wanted.target_system not in targets:
        return False
    return not wanted.target or wanted.target.partition("|")[0] in ends[1]


def _ends(one: dict[str, Any], name: str) -> set[str]:
    return {str(one[key]).partition("|")[0] for key in (f"{name}Uri", f"{name}Canonical") if key in one}


def matches(library: Library, one: dict[str, Any], coded: Coded, wanted: Wanted, depth: int) -> Iterator[Match]:
    address = str(one.get("url", ""))
    for group in one.get("group", ()):
        source, target = str(group.get("source", "")), str(group.get("target", ""))
        if wanted.reverse:
            source, target = target, source
        if (source and coded.system and source != coded.system) or (wanted.target_system and target != wanted.target_system):
            continue
        found = list(_backwards(group, coded, target, address) if wanted.reverse else _forwards(group, coded, target, address))
        if not found and not wanted.reverse and "unmapped" in group:
            found = list(_unmapped(library, group["unmapped"], coded, wanted, target, address, depth))
        yield from found


def _forwards(group: dict[str, Any], coded: Coded, target: str, address: str) -> Iterator[Match]:
    for element in group.get("element", ()):
        if element.get("code") == coded.code:
            for one in element.get("target", ()):
                yield _match(str(one.get("equivalence", "relatedto")), target, one, address)


def _backwards(group: dict[str, Any], coded: Coded, target: str, address: str) -> Iterator[Match]:
    for element in group.get("element", ()):
        for one in element.get("target", ()):
            if one.get("code") == coded.code:
                relation = str(one.get("equivalence", "relatedto"))
                yield _match(TURNED.get(relation, relation), target, element, address)


def _match(relation: str, system: str, one: dict[str, Any], address: str) -> Match:
    return Match(relation, system, str(one.get("code", "")), str(one.get("display", "")), address)


def _unmapped(
    library: Library, unmapped: dict[str, Any], coded: Coded, wanted: Wanted, target: str, address: str, depth: int
) -> Iterator[Match]:
    match unmapped.get("mode"):
        case "provided":
            yield Match("equal", target, coded.code, coded.display, address)
        case "fixed":
            yield Match("inexact", target, str(unmapped.get("code", "")), str(unmapped.get("display", "")), address)
        case "other-map" if depth < OTHER_MAPS_MAX and library.has("ConceptMap", str(unmapped.get("url", ""))):
            yield from matches(library, library.resource("ConceptMap", str(unmapped["url"])), coded, wanted, depth + 1)


def _part(match: Match) -> Parameters:
    coding = {name: value for name, value in (("system", match.system), ("code", match.code), ("display", match.display)) if value}
    parts: list[Parameters] = [{"name": "equivalence", "valueCode": match.equivalence}]
    if match.code:
        parts.append({"name": "concept", "valueCoding": coding})
    if match.map:
        parts.append({"name": "source", "valueUri": match.map})
    return {"name": "match", "part": parts}
