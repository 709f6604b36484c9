"""Rows of the work list, from the stays that go on now and what was found about their patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from cloister.epr.kit.fhir import dig, display_of, each, id_behind, text_of
from cloister.epr.kit.module import Resource
from cloister.epr.kit.moment import Moment
from cloister.epr.kit.person import Traits, allergy_of, traits_of
from cloister.epr.kit.ranges import flag_of
from cloister.epr.kit.visit import Ward

ALERTS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One patient in one bed."""

    traits: Traits
    ward: Ward
    bed: str
    reason: str
    day: int | None  # the first day of the stay is day 1
    since: Moment
    alerts: tuple[str, ...] = ()
    results: int = 0  # new since yesterday
    abnormal: int = 0


@dataclass(slots=True)
class Findings:
    """What was found about the patients of a list, by patient id."""

    alerts: dict[str, list[str]] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    abnormal: dict[str, int] = field(default_factory=dict)


def findings(allergies: Iterable[Resource], observations: Iterable[Resource], since: datetime) -> Findings:
    found = Findings()
    for resource in allergies:
        allergy = allergy_of(resource)
        if allergy.severe and allergy.status == "active":
            found.alerts.setdefault(id_behind(resource.get("patient")), []).append(allergy.substance)
    for resource in observations:
        at = Moment(str(resource.get("effectiveDateTime") or resource.get("issued") or ""))
        if at.order < since:
            continue
        patient = id_behind(resource.get("subject"))
        found.results[patient] = found.results.get(patient, 0) + 1
        if flag_of(resource):
            found.abnormal[patient] = found.abnormal.get(patient, 0) + 1
    return found


def rows(encounters: Sequence[Resource], patients: Sequence[Resource], wards: Sequence[Ward], found: Findings, today: date) -> list[Row]:
    """One row a stay, in the order of wards and beds; a stay outside these wards or without a readable patient gives none."""
    by_id = {str(patient.get("id")): traits_of(patient) for patient in patients}
    by_ward = {ward.id: ward for ward in wards}
    made = [row for encounter in encounters if (row := _row(encounter, by_id, by_ward, found, today))]
    order = {ward.id: number for number, ward in enumerate(wards)}
    return sorted(made, key=lambda row: (order[row.ward.id], row.bed or "~", row.traits.order))


def _row(encounter: Resource, patients: Mapping[str, Traits], wards: Mapping[str, Ward], found: Findings, today: date) -> Row | None:
    places = [item for item in each(encounter, "location") if item.get("status") in (None, "active")]
    ward = next((wards[id_behind(item.get("location"))] for item in places if id_behind(item.get("location")) in wards), None)
    traits = patients.get(id_behind(encounter.get("subject")))
    if ward is None or traits is None:
        return None
    bed = next((display_of(item.get("location")) for item in places if id_behind(item.get("location")) != ward.id), "")
    since = Moment(str(dig(encounter, "period", "start") or ""))
    return Row(
        traits=traits,
        ward=ward,
        bed=bed,
        reason=", ".join(text for text in map(text_of, each(encounter, "reasonCode")) if text),
        day=(today - since.day).days + 1 if since.day else None,
        since=since,
        alerts=tuple(found.alerts.get(traits.id, ())),
        results=found.results.get(traits.id, 0),
        abnormal=found.abnormal.get(traits.id, 0),
    )
