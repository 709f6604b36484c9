"""Search as the standard's text says it, straight and slow, on plain JSON: what the compiled one is held against.

Spec: http://hl7.org/fhir/R4/search.html. Shares nothing with the program: no index, no compiled test, no fold, no span.
"""

from __future__ import annotations

import calendar
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

Json = dict[str, Any]
Span = tuple[datetime, datetime]
FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
PREFIXES: Final = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def each(node: Any, path: str) -> Iterator[Any]:
    """Everything at a path of property names."""
    if isinstance(node, list):
        for one in node:
            yield from each(one, path)
    elif not path:
        yield node
    elif isinstance(node, dict):
        name, _, rest = path.partition(".")
        if name in node:
            yield from each(node[name], rest)


def unfolded(text: str) -> str:
    """#string: case, accents and the amount of white space do not count."""
    apart = unicodedata.normalize("NFD", text.replace("œ", "oe").replace("Œ", "OE"))
    return " ".join("".join(c for c in apart if unicodedata.category(c) != "Mn").lower().split())


# --- #date ----------------------------------------------------------------------------------------------------------


def span(text: str) -> Span:
    """A partial date is the whole of it."""
    day, _, time = text.partition("T")
    numbers = [int(piece) for piece in day.split("-")]
    if not time:
        year, month, date = (*numbers, 1, 1)[:3]
        low = datetime(year, month, date, tzinfo=UTC)
        size = {1: 366 if calendar.isleap(year) else 365, 2: calendar.monthrange(year, month)[1], 3: 1}[len(numbers)]
        return low, low + timedelta(days=size)
    low = datetime.fromisoformat(text).astimezone(UTC)
    digits = time.rstrip("Z").split("+")[0].split("-")[0]
    if "." in digits:
        return low, low + timedelta(seconds=1) / 10 ** len(digits.partition(".")[2])
    return low, low + (timedelta(seconds=1) if digits.count(":") == 2 else timedelta(minutes=1))


def spans(resource: Json, *paths: str) -> list[Span]:
    found = []
    for path in paths:
        for value in each(resource, path):
            if isinstance(value, str):
                found.append(span(value))
            else:
                found.append((span(value["start"])[0] if "start" in value else FIRST, span(value["end"])[1] if "end" in value else LAST))
    return found


def dated(target: Span, prefix: str, asked: str, now: datetime) -> bool:
    (low, high), (first, last) = target, span(asked)
    within = first <= low and high <= last  # "the range of the search value fully contains the range of the target value"
    match prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":  # "the range above the search value intersects the range of the target value"
            return high > last
        case "lt":
            return low < first
        case "ge":
            return high > last or within
        case "le":
            return low < first or within
        case "sa":  # "does not overlap with the range of the target value, and the range above contains it"
            return low >= last
        case "eb":
            return high <= first
    slack = abs(now - first) / 10  # "ap": "10% of the gap between now and the date"
    return low < last + slack and high > first - slack


# --- #number, #quantity ---------------------------------------------------------------------------------------------


def counted(value: Decimal, comparator: str, prefix: str, asked: str) -> bool:
    number = Decimal(asked)
    _, _, exponent = number.as_tuple()
    half = Decimal(1).scaleb(int(exponent)) / 2
    low = Decimal("-Infinity") if comparator == "<" else value
    high = Decimal("Infinity") if comparator == ">" else value
    within = number - half <= low and high < number + half
    match prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return high > number
        case "lt":
            return low < number
        case "ge":
            return high >= number
        case "le":
            return low <= number
        case "sa":
            return low > number
        case "eb":
            return high < number
    tenth = abs(number) / 10
    return low <= number + tenth and high >= number - tenth


def quantities(resource: Json, path: str) -> Iterator[Json]:
    return (one for one in each(resource, path) if "value" in one)


def measured(quantity: Json, prefix: str, asked: str) -> bool:
    number, *unit = asked.split("|")
    if unit and unit[0] and (quantity.get("system"), quantity.get("code")) != (unit[0], unit[1]):
        return False
    if unit and not unit[0] and unit[1] and unit[1] not in (quantity.get("code"), quantity.get("unit")):
        return False
    return counted(Decimal(str(quantity["value"])), quantity.get("comparator", ""), prefix, number)


# --- #token, #reference, #string, #uri --------------------------------------------------------------------------------


def tokens(resource: Json, *paths: str) -> Iterator[tuple[str, str]]:
    """(system, code) of codes, codings, concepts and identifiers."""
    for value in (one for path in paths for one in each(resource, path)):
        if isinstance(value, bool):
            yield "", str(value).lower()
        elif isinstance(value, str):
            yield "", value.lower()
        else:
            for one in value.get("coding", [value]):
                code = one.get("code", one.get("value"))
                if code is not None:
                    yield one.get("system", ""), code.lower()


def is_token(found: Iterable[tuple[str, str]], asked: str) -> bool:
    system, bar, code = asked.rpartition("|")
    for there, value in found:
        if not bar and value == asked.lower():
            return True
        if bar and there == system and code.lower() in ("", value):
            return True
    return False


def is_text(found: Iterable[str], asked: str, modifier: str) -> bool:
    if modifier == "exact":
        return any(one == asked for one in found)
    if modifier == "contains":
        return any(unfolded(asked) in unfolded(one) for one in found)
    return any(unfolded(one).startswith(unfolded(asked)) for one in found)


def is_reference(found: Iterable[str], asked: str, types: Iterable[str]) -> bool:
    wanted = {asked} if "/" in asked else {f"{type}/{asked}" for type in types}
    return any(one in wanted for one in found)


def is_canonical(found: Iterable[str], asked: str) -> bool:
    return any(one == asked or ("|" not in asked and one.partition("|")[0] == asked) for one in found)
