"""Search parameters as Python closures: what a resource says about itself, extracted in one walk over its properties.

Spec: http://hl7.org/fhir/R4/searchparameter-registry.html and search.html (tables of "what is searched" by data type).
The expressions were resolved to property paths when the definitions were built; a path that several parameters
use is extracted once. Unknown or malformed parts are skipped: validation has spoken before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cloister.records.definitions import load
from cloister.records.search.entry import RECORD, TIME_MAX, TIME_MIN, UNIT, Value, Values
from cloister.records.search.fold import folded, span
from cloister.records.search.query import Kind, Parameter

Collector = Callable[[Any], list[Value]]


@dataclass(frozen=True, slots=True)
class Compiled:
    """One resource type: its parameters by code, and its collectors by top-level property."""

    parameters: dict[str, Parameter]
    by_property: dict[str, tuple[tuple[int, Collector], ...]]
    whole: tuple[tuple[int, Collector], ...]  # look at the resource itself


def extract(resource: dict[str, Any]) -> Values:
    """Every search value of a resource, by place."""
    compiled = compiled_type(resource["resourceType"])
    by_property = compiled.by_property
    values: Values = {}
    for name, content in resource.items():
        if name in by_property:
            for place, collect in by_property[name]:
                found = collect(content)
                if found:
                    values[place] = found
    for place, collect in compiled.whole:
        values[place] = collect(resource)
    return values


def parameters(type: str) -> dict[str, Parameter]:
    """The search parameters of a resource type by code; KeyError for what is no R4 resource type."""
    return compiled_type(type).parameters


def parameter(type: str, code: str) -> Parameter | None:
    return compiled_type(type).parameters.get(code)


def warm() -> None:
    """Compile every type. The zygote calls this once, so that all sessions share the result."""
    for name in load().types:
        compiled_type(name)


@functools.cache
def compiled_type(type: str) -> Compiled:
    places: dict[str, int] = {}
    collectors: dict[str, list[tuple[int, Collector]]] = {}
    known: dict[str, Parameter] = {}
    rows = load().search[type]
    for code, kind, targets, branches in rows:
        if kind == "composite":
            continue
        only = _common_target(branches)
        mine: list[int] = []
        for steps, end in branches:
            path = [step for step in steps if not (only and step[0] == "resolve")]
            collect = LEAVES.get((kind, end))
            if collect is None:
                continue
            key = repr((kind, path, end))
            if key not in places:
                places[key] = len(places)
                first = path[0].rstrip("*") if path else ""
                collectors.setdefault(first, []).append((places[key], _along(path, collect)))
            mine.append(places[key])
        plain = kind == "token" and all(end in PLAIN for _, end in branches)
        many = len(mine) > 1 or any(isinstance(step, str) and step.endswith("*") for steps, _ in branches for step in steps)
        canonical = any(end == "canonical" for _, end in branches)
        start, texts = f"{only}/" if only else "", _texts(branches) if kind == "token" else None
        known[code] = Parameter(type, code, Kind(kind), tuple(mine), tuple(targets), start, plain, many, canonical, texts)
    whole = tuple(collectors.pop("", []))
    # After all others, so that no place of a stored index moves.
    known.update({code: _composite(type, code, groups, places) for code, kind, _, groups in rows if kind == "composite"})
    return Compiled(known, {name: tuple(pairs) for name, pairs in collectors.items()}, whole)


def _texts(branches: list[Any]) -> Collector | None:
    """What stands in words beside the codes of a token (search.html#modifiers, `:text`)."""
    readers = [_from_node(steps, TEXTS[end]) for steps, end in branches if end in TEXTS]
    return (lambda resource: [text for read in readers for text in read(resource)]) if readers else None


def _composite(type: str, code: str, groups: list[Any], places: dict[str, int]) -> Parameter:
    """What belongs together (search.html#composite): the components by their places in the index, and by element.

    Where there is one element only, the index decides. A component that the index does not have gets a place of its own
    that stands in no entry: negative, so that it is told from those.
    """
    kinds = [kind for kind, _, _ in groups[0][1]]
    mine: list[dict[int, None]] = [{} for _ in kinds]
    readers: list[tuple[Collector, list[tuple[int, Collector, bool]]]] = []
    for path, components in groups:
        inside = []
        for number, (kind, branches, whole) in enumerate(components):
            for steps, end in branches:
                leaf = LEAVES.get((kind, end))
                if leaf is not None:
                    place = places.get(repr((kind, steps if whole else [*path, *steps], end)), -1 - number)
                    mine[number][place] = None
                    inside.append((place, _from_node(steps, leaf), whole))
        readers.append((_from_node(path, lambda node: [node]), inside))
    parts = tuple(
        Parameter(type, code, Kind(kind), tuple(one), plain=kind == "token" and all(end in PLAIN for _, end in groups[0][1][number][1]))
        for number, (kind, one) in enumerate(zip(kinds, mine, strict=True))
    )
    repeats = any(isinstance(step, str) and step.endswith("*") for path, _ in groups for step in path)
    single = len(groups) == 1 and not repeats and all(place >= 0 for one in mine for place in one)

    def elements(resource: dict[str, Any]) -> list[Values]:
        found: list[Values] = []
        for nodes, inside in readers:
            for node in nodes(resource):
                values: Values = {}
                for place, collect, whole in inside:
                    values.setdefault(place, []).extend(collect(resource if whole else node))
                found.append(values)
        return found

    return Parameter(type, code, Kind.COMPOSITE, (), parts=parts, elements=None if single else elements)


def _from_node(path: list[Any], leaf: Collector) -> Collector:
    """`_along` from the node that has the first step's property."""
    if not path:
        return leaf
    collect, name = _along(path, leaf), path[0].rstrip("*")
    return lambda node: collect(node[name]) if node.get(name) is not None else []


def _common_target(branches: list[Any]) -> str:
    """The type T when every branch ends in `where(resolve() is T)`: then its place can be shared, and T is filtered later."""
    wanted = {step[1] for steps, _ in branches for step in steps if step[0] == "resolve"}
    everywhere = all(any(step[0] == "resolve" for step in steps) for steps, _ in branches)
    return str(wanted.pop()) if len(wanted) == 1 and everywhere else ""


def _along(path: list[Any], leaf: Collector) -> Collector:
    """The collector for a whole path, built from its end; the first step's value is what it is called with."""
    collect = leaf
    for number in range(len(path) - 1, -1, -1):
        collect = _step(path[number], collect, fetch=number > 0)
    return collect


def _step(step: Any, then: Collector, *, fetch: bool) -> Collector:
    if isinstance(step, str):
        name = step.rstrip("*")
        reach = _each(then) if step.endswith("*") else then
        return _get(name, reach) if fetch else reach
    match step[0]:
        case "where":
            return _where(step[1], step[2], then)
        case "resolve":
            return _pointing(step[1], then)
        case _:
            return then


def _get(name: str, then: Collector) -> Collector:
    def collect(node: Any) -> list[Value]:
        content = node.get(name)
        return then(content) if content is not None else []

    return collect


def _each(then: Collector) -> Collector:
    def collect(nodes: Any) -> list[Value]:
        if len(nodes) == 1:
            return then(nodes[0]) if nodes[0] is not None else []
        return [value for node in nodes if node is not None for value in then(node)]

    return collect


def _where(name: str, wanted: str, then: Collector) -> Collector:
    return lambda node: then(node) if node.get(name) == wanted else []


def _pointing(type: str, then: Collector) -> Collector:
    start, inside = f"{type}/", f"/{type}/"

    def collect(node: Any) -> list[Value]:
        text = node.get("reference", "")
        return then(node) if text.startswith(start) or inside in text or node.get("type") == type else []

    return collect


# --- what is searched, by data type -------------------------------------------------------------------------------


def _code(value: Any) -> list[Value]:
    return [UNIT + value.lower()]


def _boolean(value: Any) -> list[Value]:
    return [UNIT + ("true" if value else "false")]


def _coding(coding: Any) -> list[Value]:
    code = coding.get("code")
    return [coding.get("system", "") + UNIT + code.lower()] if code is not None else []


def _concept(concept: Any) -> list[Value]:
    codings = concept.get("coding")
    if not codings:
        return []
    if len(codings) == 1:
        return _coding(codings[0])
    return [value for coding in codings for value in _coding(coding)]


def _identifier(identifier: Any) -> list[Value]:
    text = identifier.get("value")
    if text is None:
        return []
    text = text.lower()
    found: list[Value] = [identifier.get("system", "") + UNIT + text]
    for value in _concept(identifier.get("type", {})):
        found.append(f"{RECORD}{value}{UNIT}{text}")
    return found


def _contact(point: Any) -> list[Value]:
    text = point.get("value")
    return [UNIT + text.lower()] if text is not None else []


def _deceased(resource: Any) -> list[Value]:
    return _boolean(resource.get("deceasedDateTime") is not None or resource.get("deceasedBoolean") is True)


def _reference(reference: Any) -> list[Value]:
    found: list[Value] = []
    text = reference.get("reference")
    if text and text[0] != "#":
        found.append(text.partition("/_history/")[0])
    if "identifier" in reference:
        value = reference["identifier"].get("value")
        if value is not None:
            found.append(RECORD + reference["identifier"].get("system", "") + UNIT + value.lower())
    return found


def _display(coding: Any) -> list[Value]:
    return [coding["display"]] if "display" in coding else []


def _concept_text(concept: Any) -> list[Value]:
    found: list[Value] = [concept["text"]] if "text" in concept else []
    return [*found, *(text for coding in concept.get("coding", ()) for text in _display(coding))]


def _identifier_text(identifier: Any) -> list[Value]:
    return _concept_text(identifier.get("type", {}))


def _as_is(value: Any) -> list[Value]:
    return [value]


def _string(value: Any) -> list[Value]:
    return [folded(value)]


def _date(value: Any) -> list[Value]:
    try:
        return list(span(value))
    except (ValueError, IndexError):
        return []


def _period(period: Any) -> list[Value]:
    try:
        low = span(period["start"])[0] if "start" in period else TIME_MIN
        high = span(period["end"])[1] if "end" in period else TIME_MAX
    except (ValueError, IndexError):
        return []
    return [low, high] if "start" in period or "end" in period else []


def _timing(timing: Any) -> list[Value]:
    """The outer limits of a schedule (search.html#date)."""
    found = [value for text in timing.get("event", ()) if text for value in _date(text)]
    found += _period(timing.get("repeat", {}).get("boundsPeriod", {}))
    return [min(found[0::2], key=int), max(found[1::2], key=int)] if found else []


def _quantity(quantity: Any) -> list[Value]:
    value = quantity.get("value")
    if value is None:
        return []
    value = float(value)
    low, high = value, value
    match quantity.get("comparator"):
        case "<" | "<=":
            low = float("-inf")
        case ">" | ">=":
            high = float("inf")
    return [low, high, quantity.get("system", "") + UNIT + quantity.get("code", "") + UNIT + quantity.get("unit", "")]


def _range(span_of: Any) -> list[Value]:
    low, high = span_of.get("low", {}), span_of.get("high", {})
    if "value" not in low and "value" not in high:
        return []
    unit = low if "value" in low else high
    key = unit.get("system", "") + UNIT + unit.get("code", "") + UNIT + unit.get("unit", "")
    return [float(low.get("value", "-inf")), float(high.get("value", "inf")), key]


def _money(money: Any) -> list[Value]:
    value, currency = money.get("value"), money.get("currency", "")
    return [float(value), float(value), f"urn:iso:std:iso:4217{UNIT}{currency}{UNIT}{currency}"] if value is not None else []


def _number(value: Any) -> list[Value]:
    return [float(value), float(value)]


def _number_range(span_of: Any) -> list[Value]:
    return _range(span_of)[:2]


PLAIN: Final = frozenset({"code", "boolean", "string", "uri", "id", "deceased", "ContactPoint"})
TEXTS: Final[dict[str, Collector]] = {"Coding": _display, "CodeableConcept": _concept_text, "Identifier": _identifier_text}
LEAVES: Final[dict[tuple[str, str], Collector]] = {
    ("token", "code"): _code,
    ("token", "string"): _code,
    ("token", "id"): _code,
    ("token", "uri"): _code,
    ("token", "boolean"): _boolean,
    ("token", "Coding"): _coding,
    ("token", "CodeableConcept"): _concept,
    ("token", "Identifier"): _identifier,
    ("token", "ContactPoint"): _contact,
    ("token", "deceased"): _deceased,
    ("reference", "Reference"): _reference,
    ("reference", "canonical"): _as_is,
    ("reference", "uri"): _as_is,
    ("string", "string"): _string,
    ("string", "markdown"): _string,
    ("uri", "uri"): _as_is,
    ("uri", "url"): _as_is,
    ("uri", "canonical"): _as_is,
    ("date", "date"): _date,
    ("date", "dateTime"): _date,
    ("date", "instant"): _date,
    ("date", "Period"): _period,
    ("date", "Timing"): _timing,
    ("quantity", "Quantity"): _quantity,
    ("quantity", "Age"): _quantity,
    ("quantity", "Duration"): _quantity,
    ("quantity", "Range"): _range,
    ("quantity", "Money"): _money,
    ("number", "integer"): _number,
    ("number", "decimal"): _number,
    ("number", "Range"): _number_range,
}
