"""The vital signs that are entered and drawn: LOINC and UCUM codes of http://hl7.org/fhir/R4/observation-vitalsigns.html.

`possible` refuses slips of the pen (a temperature of 375); `usual` is the range of a resting adult, used for a flag only
where the observation brings no range of its own, and never below 16 years.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cloister.epr.kit.ranges import Range

ADULT_YEARS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number that is measured. `panel`: the LOINC code of the Observation of which it is a component."""

    name: str
    code: str
    unit: str  # UCUM
    shown: str  # the unit as people write it
    low: Decimal
    high: Decimal
    usual: Range
    digits: int  # after the point, as it is read from an instrument
    panel: str = ""
    also: tuple[str, ...] = ()  # other LOINC codes for the same thing

    @property
    def codes(self) -> frozenset[str]:
        return frozenset((self.code, *self.also))


def _measure(
    name: str,
    code: str,
    unit: str,
    shown: str,
    possible: tuple[str, str],
    usual: tuple[str | None, str | None],
    digits: int = 0,
    *,
    panel: str = "",
    also: tuple[str, ...] = (),
) -> Measure:
    low, high = (Decimal(edge) if edge else None for edge in usual)
    return Measure(
        name=name,
        code=code,
        unit=unit,
        shown=shown,
        low=Decimal(possible[0]),
        high=Decimal(possible[1]),
        usual=Range(low, high),
        digits=digits,
        panel=panel,
        also=also,
    )


PRESSURE: Final = "85354-9"
SYSTOLIC: Final = _measure("systolic", "8480-6", "mm[Hg]", "mmHg", ("30", "300"), ("100", "140"), panel=PRESSURE)
DIASTOLIC: Final = _measure("diastolic", "8462-4", "mm[Hg]", "mmHg", ("10", "200"), ("50", "90"), panel=PRESSURE)
MEASURES: Final = (
    SYSTOLIC,
    DIASTOLIC,
    _measure("pulse", "8867-4", "/min", "/min", ("10", "350"), ("50", "100")),
    _measure("breathing", "9279-1", "/min", "/min", ("2", "99"), ("11", "20")),
    _measure("temperature", "8310-5", "Cel", "°C", ("24", "45"), ("36", "38"), 1, also=("8331-1", "8329-5")),
    _measure("saturation", "59408-5", "%", "%", ("30", "100"), ("95", None), also=("2708-6",)),
    _measure("pain", "72514-3", "{score}", "/10", ("0", "10"), (None, "3")),
    _measure("weight", "29463-7", "kg", "kg", ("0.3", "500"), (None, None), 1),
    _measure("height", "8302-2", "cm", "cm", ("20", "260"), (None, None), 1),
)
# Not entered (it follows from weight and height), but drawn where another system has written it.
MASS_INDEX: Final = _measure("mass-index", "39156-5", "kg/m2", "kg/m²", ("5", "150"), ("18.5", "30"), 1)
