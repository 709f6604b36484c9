"""Is a value inside its reference range? Codes: http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cloister.epr.kit.fhir import codes_of, dig, each, number, shown_number

FLAGS: Final = ("HH", "LL", "H", "L", "AA", "A")
_SAME: Final = {"HU": "HH", "LU": "LL", "HX": "HH", "LX": "LL", "POS": "A", "DET": "A"}


@dataclass(frozen=True, slots=True)
class Range:
    low: Decimal | None = None
    high: Decimal | None = None

    @property
    def text(self) -> str:
        """'3.5–5', '≤ 5', '≥ 3.5' or nothing; FHIR's bounds are inside."""
        low, high = shown_number(self.low), shown_number(self.high)
        if low and high:
            return f"{low}–{high}"
        if high:
            return f"≤ {high}"
        return f"≥ {low}" if low else ""

    def flag(self, value: Decimal | None) -> str:
        if value is None:
            return ""
        if self.low is not None and value < self.low:
            return "L"
        return "H" if self.high is not None and value > self.high else ""


def range_of(observation: Mapping[str, Any]) -> Range:
    """The normal range among those given: the one typed 'normal', or without a type."""
    for item in each(observation, "referenceRange"):
        kinds = codes_of(item.get("type"))
        if kinds and "normal" not in kinds:
            continue
        return Range(number(dig(item, "low", "value")), number(dig(item, "high", "value")))
    return Range()


def flag_of(observation: Mapping[str, Any], usual: Range | None = None) -> str:
    """'HH', 'H', 'L', 'LL', 'A', 'AA' or nothing: as the laboratory said, else by the range it gave, else by the usual range."""
    said = {code for item in each(observation, "interpretation") for code in codes_of(item)}
    said = {_SAME.get(code, code) for code in said}
    for flag in FLAGS:
        if flag in said:
            return flag
    if said:  # 'N' and its kin: the laboratory has looked
        return ""
    given = range_of(observation)
    if given == Range() and usual is not None:
        given = usual
    return given.flag(number(dig(observation, "valueQuantity", "value")))
