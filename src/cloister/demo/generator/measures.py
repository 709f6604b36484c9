"""Observations: vital signs and laboratory results that move from illness towards normal. FHIR R4 Observation, 10.1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.demo.generator import codes
from cloister.demo.generator.chance import Chance
from cloister.demo.generator.codes import Measure
from cloister.demo.generator.story import Story

VITAL: Final = [codes.hl7("observation-category", "vital-signs", "Vital Signs")]
LABORATORY: Final = [codes.hl7("observation-category", "laboratory", "Laboratory")]
_CODED: Final = {
    measure.code: codes.concept(codes.LOINC, measure.code, measure.display, measure.text)
    for measure in (
        codes.HEART_RATE, codes.BREATHS, codes.SATURATION, codes.TEMPERATURE, codes.WEIGHT, codes.HEIGHT, codes.BMI, codes.PAIN,
        *codes.LABS.values(),
    )
}  # fmt: skip
_LEVELS: Final = {
    level: [codes.hl7("v3-ObservationInterpretation", level, text)] for level, text in (("H", "High"), ("L", "Low"), ("N", "Normal"))
}


@dataclass(frozen=True, slots=True)
class Place:
    """Whose, in which stay, by whom: what every resource of a stay refers to."""

    patient: dict[str, str]
    encounter: dict[str, str]
    doctor: dict[str, str]
    nurse: dict[str, str]
    organization: dict[str, str]


def instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def quantity(measure: Measure, value: float) -> dict[str, Any]:
    rounded = round(value, measure.decimals) if measure.decimals else round(value)
    return {"value": rounded, "unit": measure.shown, "system": codes.UCUM, "code": measure.unit}


def _range(measure: Measure) -> dict[str, Any]:
    limits = {}
    if measure.low is not None:
        limits["low"] = quantity(measure, measure.low)
    if measure.high is not None:
        limits["high"] = quantity(measure, measure.high)
    return limits


_RANGES: Final = {measure.code: [_range(measure)] for measure in codes.LABS.values()}


def observed(chance: Chance, place: Place, measure: Measure, value: float, at: str, category: list[dict[str, Any]]) -> dict[str, Any]:
    """One measured value."""
    resource: dict[str, Any] = {
        "resourceType": "Observation",
        "id": chance.uuid(),
        "status": "final",
        "category": category,
        "code": _CODED[measure.code],
        "subject": place.patient,
        "encounter": place.encounter,
        "effectiveDateTime": at,
        "issued": at,
        "performer": [place.nurse if category is VITAL else place.organization],
        "valueQuantity": quantity(measure, value),
    }
    ranges = _RANGES.get(measure.code)
    if ranges:
        shown = resource["valueQuantity"]["value"]
        level = (
            "H" if measure.high is not None and shown > measure.high else "L" if measure.low is not None and shown < measure.low else "N"
        )
        resource["interpretation"] = _LEVELS[level]
        resource["referenceRange"] = ranges
    return resource


def _pressure(chance: Chance, place: Place, systolic: float, at: str) -> dict[str, Any]:
    diastolic = systolic * 0.42 + 24 + chance.gauss(0, 4)
    return {
        "resourceType": "Observation",
        "id": chance.uuid(),
        "status": "final",
        "category": VITAL,
        "code": codes.PRESSURE,
        "subject": place.patient,
        "encounter": place.encounter,
        "effectiveDateTime": at,
        "issued": at,
        "performer": [place.nurse],
        "component": [
            {
                "code": code,
                "valueQuantity": {"value": round(value), "unit": "mmHg", "system": codes.UCUM, "code": "mm[Hg]"},
            }
            for code, value in ((codes.SYSTOLIC, systolic), (codes.DIASTOLIC, diastolic))
        ],
    }


def vitals(chance: Chance, place: Place, story: Story, moment: datetime, better: float) -> list[dict[str, Any]]:
    """One round of vital signs; `better` goes from 0 (admission) to 1 (well)."""
    at = instant(moment)
    signs = story.signs

    def towards(name: str, normal: float, noise: float) -> float:
        return normal + (signs.get(name, normal) - normal) * (1 - better) + chance.gauss(0, noise)

    rounds = [
        observed(chance, place, codes.HEART_RATE, towards("pulse", 76, 4), at, VITAL),
        _pressure(chance, place, towards("systolic", 128, 7), at),
        observed(chance, place, codes.TEMPERATURE, towards("temperature", 36.8, 0.2), at, VITAL),
        observed(chance, place, codes.SATURATION, min(100, towards("saturation", 97, 0.8)), at, VITAL),
        observed(chance, place, codes.BREATHS, towards("breaths", 16, 1.2), at, VITAL),
    ]
    if story.pain:
        pain = max(0, min(10, round(story.pain * (1 - better) + chance.gauss(0.4, 0.6))))
        rounds.append(observed(chance, place, codes.PAIN, pain, at, VITAL))
    return rounds


def build(chance: Chance, place: Place, height: float, weight: float, moment: datetime) -> list[dict[str, Any]]:
    """Weight, height and body mass index."""
    at = instant(moment)
    return [
        observed(chance, place, codes.WEIGHT, weight, at, VITAL),
        observed(chance, place, codes.HEIGHT, height, at, VITAL),
        observed(chance, place, codes.BMI, weight / (height / 100) ** 2, at, VITAL),
    ]


def _ordinary(chance: Chance, measure: Measure) -> float:
    """A value that most people have; one in twenty lies a little outside."""
    high = measure.high if measure.high is not None else 100.0
    low = measure.low if measure.low is not None else high * 0.15
    return max(0.0, chance.gauss((low + high) / 2, (high - low) / 4.2))


def laboratory(chance: Chance, place: Place, story: Story, moment: datetime, better: float) -> list[dict[str, Any]]:
    """One blood sample: its results, then the report that lists them."""
    at = instant(moment)
    results = []
    for name in story.labs:
        measure = codes.LABS[name]
        value = _ordinary(chance, measure)
        if name in story.ill and better < 0.9:
            low, high = story.ill[name]
            value += (chance.uniform(low, high) - value) * (1 - better)
        results.append(observed(chance, place, measure, value, at, LABORATORY))
    if not results:
        return []
    report = {
        "resourceType": "DiagnosticReport",
        "id": chance.uuid(),
        "status": "final",
        "category": [codes.hl7("v2-0074", "LAB", "Laboratory")],
        "code": codes.LAB_REPORT,
        "subject": place.patient,
        "encounter": place.encounter,
        "effectiveDateTime": at,
        "issued": at,
        "performer": [place.organization],
        "result": [{"reference": f"urn:uuid:{result['id']}"} for result in results],
    }
    return [*results, report]
