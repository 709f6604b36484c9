"""Observations of vital signs as series of numbers, and new ones as FHIR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from markupsafe import Markup

from cloister.epr.kit.fhir import CATEGORY, LOINC, UCUM, codes_of, dig, each, in_category, number, shown_number, unit_of, when
from cloister.epr.kit.module import Resource
from cloister.epr.kit.moment import Moment, age_years
from cloister.epr.kit.ranges import Range, flag_of, range_of
from cloister.epr.kit.trends import Line, Point, Trend, days_of, recent
from cloister.epr.kit.words import Words
from cloister.epr.modules.vitals.measures import ADULT_YEARS, DIASTOLIC, MASS_INDEX, MEASURES, PRESSURE, SYSTOLIC, Measure

_BY_CODE: Final = {code: measure for measure in (*MEASURES, MASS_INDEX) for code in measure.codes}
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measured number."""

    measure: Measure
    at: Moment
    value: Decimal
    unit: str
    flag: str
    usual: Range
    by: str

    @property
    def text(self) -> str:
        return shown_number(self.value, self.measure.digits)


def is_adult(patient: Resource, on: date) -> bool:
    """True also when the birth date is not known: then the adult's range is the better guess."""
    born = Moment(str(patient.get("birthDate") or "")).day
    return born is None or age_years(born, on) >= ADULT_YEARS


def readings(observations: Iterable[Resource], *, adult: bool) -> Iterator[Reading]:
    """Every number of a known measure, of single observations and of the components of panels."""
    for observation in observations:
        if observation.get("status") in ("entered-in-error", "cancelled"):
            continue
        parts = list(each(observation, "component")) or [observation]
        by = ", ".join(str(item.get("display")) for item in each(observation, "performer") if item.get("display"))
        for part in parts:
            measure = next((_BY_CODE[code] for code in codes_of(part.get("code")) if code in _BY_CODE), None)
            value = number(dig(part, "valueQuantity", "value"))
            if measure is None or value is None:
                continue
            given = range_of(part)
            usual = given if given != Range() else measure.usual if adult else Range()
            same_unit = (dig(part, "valueQuantity", "code") or measure.unit) == measure.unit
            yield Reading(
                measure=measure,
                at=when(observation),
                value=value,
                unit=measure.shown if same_unit else unit_of(part.get("valueQuantity")),
                flag=flag_of(part, usual if same_unit else None),
                usual=usual,
                by=by,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One vital sign on the card: its newest value, how long ago, and its trend."""

    name: str
    text: str
    unit: str
    flag: str
    at: Moment
    usual: str
    trend: Markup
    days: int  # that the trend spans


def rows(found: Sequence[Reading], words: Words) -> list[Row]:
    """One row a measure, blood pressure as one row of two; only those that were ever measured."""
    series: dict[str, list[Reading]] = {}
    for reading in found:
        series.setdefault(reading.measure.name, []).append(reading)
    for one in series.values():
        one.sort(key=lambda reading: reading.at.order)
    made = [_pressure(series, words)]
    made += [_single(series[measure.name], words) for measure in (*MEASURES, MASS_INDEX) if measure.name in series and not measure.panel]
    return [row for row in made if row is not None]


def _all_points(series: Sequence[Reading]) -> list[Point]:
    return [Point(reading.at.order, float(reading.value), bool(reading.flag)) for reading in series if reading.at]


def _points(series: Sequence[Reading]) -> list[Point]:
    return recent(_all_points(series))


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _since(points: Sequence[Point], first: Sequence[Point]) -> list[Point]:
    """The part of a second line that lies in the period of the first."""
    return [point for point in points if first and point.at >= first[0].at]


def _single(series: Sequence[Reading], words: Words) -> Row:
    last = series[-1]
    name = words(f"vitals.{last.measure.name}")
    points = _points(series)
    trend = Trend(
        lines=(Line(points=points),),
        title=words("vitals.trend", name=name, n=len(points)),
        low=_float(last.usual.low),
        high=_float(last.usual.high),
    )
    return Row(
        name=name,
        text=last.text,
        unit=last.unit,
        flag=last.flag,
        at=last.at,
        usual=last.usual.text,
        trend=trend.svg(),
        days=days_of(points),
    )


def _pressure(series: Mapping[str, Sequence[Reading]], words: Words) -> Row | None:
    upper, lower = series.get(SYSTOLIC.name, ()), series.get(DIASTOLIC.name, ())
    if not upper:
        return None
    last = upper[-1]
    below = next((reading for reading in reversed(lower) if reading.at == last.at), None)
    name = words("vitals.pressure")
    points = _points(upper)
    trend = Trend(
        lines=(Line(points=points), Line(points=_since(_all_points(lower), points))),
        title=words("vitals.trend", name=name, n=len(points)),
        low=_float(below.usual.low) if below else None,
        high=_float(last.usual.high),
    )
    flag = last.flag or (below.flag if below else "")
    usual = " / ".join(text for text in (last.usual.text, below.usual.text if below else "") if text)
    text = f"{last.text}/{below.text if below else '–'}"
    return Row(name=name, text=text, unit=last.unit, flag=flag, at=last.at, usual=usual, trend=trend.svg(), days=days_of(points))


def vital_signs(observations: Iterable[Resource]) -> list[Resource]:
    return [
        item for item in observations if in_category(item, "vital-signs") or codes_of(item.get("code")) & (_BY_CODE.keys() | {PRESSURE})
    ]


def observations(patient: str, values: Mapping[str, Decimal], *, at: Moment, author: str, now: datetime) -> list[dict[str, Any]]:
    """New Observations: one for blood pressure with its two components, one for every other number."""

    def made(code: str, text: str) -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}],
            "code": {"coding": [{"system": LOINC, "code": code}], "text": text},
            "subject": {"reference": f"Patient/{patient}"},
            "effectiveDateTime": at.text,
            "issued": now.isoformat(timespec="milliseconds"),
            "performer": [{"display": author}],
        }

    def quantity(measure: Measure, value: Decimal) -> dict[str, Any]:
        whole = value == value.to_integral_value()
        return {"value": int(value) if whole else float(value), "unit": measure.shown, "system": UCUM, "code": measure.unit}

    result: list[dict[str, Any]] = []
    parts = [measure for measure in (SYSTOLIC, DIASTOLIC) if measure.name in values]
    if parts:
        panel = made(PRESSURE, "Blood pressure")
        panel["component"] = [
            {"code": {"coding": [{"system": LOINC, "code": measure.code}]}, "valueQuantity": quantity(measure, values[measure.name])}
            for measure in parts
        ]
        result.append(panel)
    for measure in MEASURES:
        if measure.name in values and not measure.panel:
            result.append(made(measure.code, measure.name.capitalize()) | {"valueQuantity": quantity(measure, values[measure.name])})
    return result
