"""Whether a coded element has a code of the value set that it is bound to. Spec: http://hl7.org/fhir/R4/terminologies.html#strength."""

from __future__ import annotations

from typing import Any

from cloister.base.errors import CloisterError
from cloister.records.terminology.library import Absent
from cloister.records.terminology.valuesets import Member, ValueSets


def bound(value_sets: ValueSets, address: str, value: Any) -> Member:
    """YES when the code, or one of the codings, is in the value set; UNKNOWN when that cannot be told here."""
    try:
        inside = value_sets.composed(address)
        pairs = codings(value)
        found = {value_sets.has(inside, system, code) for system, code in pairs}
    except (Absent, CloisterError):
        return Member.UNKNOWN
    if Member.YES in found:
        return Member.YES
    return Member.UNKNOWN if Member.UNKNOWN in found else Member.NO


def codings(value: Any) -> list[tuple[str, str]]:
    """System and code of what stands there: a code, a Coding, a CodeableConcept or a Quantity."""
    if isinstance(value, str):
        return [("", value)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("coding"), list):
        return [(str(one.get("system", "-")), str(one["code"])) for one in value["coding"] if "code" in one]
    return [(str(value.get("system", "-")), str(value["code"]))] if "code" in value else []
