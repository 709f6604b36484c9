"""The filters of a value set's include: which concepts of a code system they let through.

Spec: http://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.compose.include.filter, valueset-filter-operator.html. Regular
expressions come from whoever made the value set, so they run in linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import jsonschema_rs

from cloister.base.errors import Invalid, Unsupported
from cloister.records.terminology.codesystem import CodeSystem

Passes = Callable[[int], bool]
HIERARCHY: Final = frozenset({"is-a", "descendent-of", "is-not-a", "generalizes", "child-of"})
PATTERN_CHARACTERS_MAX: Final = 1000


def filters_of(system: CodeSystem, filters: list[dict[str, Any]]) -> list[Passes]:
    return [one_filter(system, one) for one in filters]


def one_filter(system: CodeSystem, given: dict[str, Any]) -> Passes:
    """The test of one filter. Raises Invalid for one that cannot hold, Unsupported for an operator that FHIR R4 does not know."""
    operator, name, value = given.get("op", ""), given.get("property", ""), str(given.get("value", ""))
    if operator in HIERARCHY:
        return _hierarchy(system, operator, value)
    match operator:
        case "=":
            return _equals(system, name, value)
        case "exists":
            wanted = value == "true"
            return lambda number: any(True for _ in values_of(system, number, name)) is wanted
        case "in" | "not-in":
            codes, inside = frozenset(piece.strip() for piece in value.split(",")), operator == "in"
            return lambda number: any(one in codes for one in values_of(system, number, name)) is inside
        case "regex":
            matches = pattern(value)
            return lambda number: any(matches(one) for one in values_of(system, number, name))
    raise Unsupported(f"The filter '{str(operator)[:40]}' is not known.", hint="See valueset-filter-operator of FHIR R4.", reason="filter")


def _hierarchy(system: CodeSystem, operator: str, code: str) -> Passes:
    root = system.find(code)
    if root is None:
        raise Invalid(
            f"A filter names the code '{code[:80]}', which {system.url} does not have.",
            hint="Correct the value set, or load the version of the code system that it was made for.",
            reason="filter",
        )
    match operator:
        case "child-of":
            return frozenset(system.children(root)).__contains__
        case "generalizes":
            return lambda number: system.is_under(root, number)
        case "is-not-a":
            below = system.under(root)
            return lambda number: number not in below
        case "descendent-of":
            return (system.under(root) - {root}).__contains__
    return system.under(root).__contains__


def _equals(system: CodeSystem, name: str, value: str) -> Passes:
    if name == "parent":
        parent = system.find(value)
        return frozenset().__contains__ if parent is None else frozenset(system.children(parent)).__contains__
    return lambda number: value in values_of(system, number, name)


def values_of(system: CodeSystem, number: int, name: str) -> Iterator[str]:
    """What a concept has under a property's name, as text."""
    match name:
        case "code" | "concept":
            yield system.code(number)
        case "display":
            yield system.display(number)
        case "parent":
            yield from (system.code(one) for one in system.parents(number))
        case "child":
            yield from (system.code(one) for one in system.children(number))
        case "inactive":
            yield "true" if system.inactive(number) else "false"
        case _:
            for one in system.detail(number).get("property", ()):
                if one.get("code") == name:
                    yield from (_plain(value) for key, value in one.items() if key.startswith("value"))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, dict) else str(value)


def pattern(text: str) -> Callable[[str], bool]:
    """Whether a whole text matches; a pattern that would not run in linear time (look-around) is Invalid."""
    try:
        if len(text) > PATTERN_CHARACTERS_MAX:
            raise ValueError("long")
        schema = {"type": "string", "pattern": f"^(?:{text})$"}
        found = jsonschema_rs.validator_for(schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True)
    except (ValueError, jsonschema_rs.ValidationError):
        raise Invalid("A filter's regular expression cannot be used.", hint="Write it without look-around.", reason="filter") from None
    return lambda one: bool(found.is_valid(one))
