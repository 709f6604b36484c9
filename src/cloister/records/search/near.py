"""`near` of Location: within a distance of a point. Spec: http://hl7.org/fhir/R4/location.html#search (near).

Latitude, longitude, distance and unit (km unless said), as `48.85|2.35|5|km`; along a great circle of the mean earth, so within
half a per cent. Where no distance is given 50 km is near. No index has positions: the opened resource decides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.records.search.query import Parameter, Term

EARTH_KILOMETRES: Final = 6371.0088
NEAR_KILOMETRES: Final = 50.0
UNITS: Final = {"km": 1.0, "": 1.0, "m": 0.001, "[mi_i]": 1.609344}
NUMBER: Final = re.compile(r"[+-]?\d{1,9}(\.\d{1,15})?")


def near_term(parameter: Parameter, name: str, alternatives: Sequence[str]) -> Term:
    """The compiled term; raises Invalid with the parameter's name as expression."""
    circles = [_circle(text, name) for text in alternatives]

    def whole(resource: dict[str, Any]) -> bool:
        position = resource.get("position", {})
        here = (position.get("latitude"), position.get("longitude"))
        if None in here:
            return False
        return any(kilometres(float(here[0]), float(here[1]), *point) <= radius for *point, radius in circles)

    return Term(name, parameter, "", tuple(alternatives), None, (), lambda entry: True, whole)


def _circle(text: str, name: str) -> tuple[float, float, float]:
    pieces = [piece.strip() for piece in text.split("|")]
    latitude, longitude, distance, unit = (*pieces, "", "", "")[:4]
    able = 2 <= len(pieces) <= 4 and all(NUMBER.fullmatch(one) for one in (latitude, longitude)) and unit in UNITS
    if not able or (distance and not NUMBER.fullmatch(distance)) or abs(float(latitude)) > 90 or abs(float(longitude)) > 180:
        hint = "Write latitude|longitude|distance|unit, such as 48.85|2.35|5|km; the unit is km, m or [mi_i]."
        raise Invalid(f"The parameter '{name}' names no place.", hint=hint, expression=name)
    return float(latitude), float(longitude), float(distance) * UNITS[unit] if distance else NEAR_KILOMETRES


def kilometres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The length of the great circle between two points (the haversine formula)."""
    one, other = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((other - one) / 2) ** 2
    half += math.cos(one) * math.cos(other) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * EARTH_KILOMETRES * math.asin(min(1.0, math.sqrt(half)))
