"""Comparing what stands in a resource with what a profile fixes. Spec: http://hl7.org/fhir/R4/elementdefinition-definitions.html."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cloister.records.search.fold import span


def equals(value: Any, fixed: Any) -> bool:
    """fixed[x]: exactly this, with nothing more."""
    if isinstance(value, dict) and isinstance(fixed, dict):
        return value.keys() == fixed.keys() and all(equals(value[name], one) for name, one in fixed.items())
    if isinstance(value, list) and isinstance(fixed, list):
        return len(value) == len(fixed) and all(map(equals, value, fixed))
    return type(value) is type(fixed) and bool(value == fixed) or (_number(value) and _number(fixed) and _same(value, fixed))


def fits(value: Any, pattern: Any) -> bool:
    """pattern[x]: at least this; each item of a list in the pattern has one that fits it."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(name in value and fits(value[name], one) for name, one in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(item, one) for item in value) for one in pattern)
    return equals(value, pattern)


def within(value: Any, lowest: Any, highest: Any) -> bool:
    """minValue[x], maxValue[x], of numbers and dates; what cannot be compared is within."""
    if isinstance(value, dict):
        low, high = ((one or {}).get("value") if isinstance(one, dict) else None for one in (lowest, highest))
        return within(value.get("value"), low, high)
    if _number(value):
        below, above = (Decimal(str(one)) if _number(one) else None for one in (lowest, highest))
        number = Decimal(str(value))
        return (below is None or number >= below) and (above is None or number <= above)
    try:
        if isinstance(value, str):
            after = not isinstance(lowest, str) or span(value)[1] > span(lowest)[0]
            return after and (not isinstance(highest, str) or span(value)[0] < span(highest)[1])
    except ValueError:
        return True
    return True


def _number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return Decimal(str(one)) == Decimal(str(other))
