"""Seeded FHIR R4 patients: the same seed gives the same bytes. Texts and people are made up; codes are real.

A portion is one transaction bundle (FHIR R4, http.html#transaction): first each hospital's register, then one bundle a
patient. Patients of psychiatric stories occur in the psychiatric hospital only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from cloister.demo.cast import BEDS_PER_WARD, HOSPITALS
from cloister.demo.generator.chance import Chance
from cloister.demo.generator.life import STORIES, Admission, new_record
from cloister.demo.generator.register import bed_id, register
from cloister.identity import HospitalPlan

TODAY: Final = date(2026, 11, 1)  # of a generator that is not told the day
PSYCHIATRIC_SHARE: Final = 0.22
IN_HOSPITAL_SHARE: Final = 0.4
BEDS_USED_MAX: Final = BEDS_PER_WARD - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """One transaction bundle, and the hospital that it belongs to."""

    hospital: str
    name: str
    bundle: dict[str, Any]

    @property
    def resources(self) -> int:
        return len(self.bundle["entry"])


def portions(patients: int, seed: int, *, today: date = TODAY, hospital: str | None = None) -> Iterator[Portion]:
    """The registers, then `patients` records; with `hospital`, only what belongs to it (the same records as without)."""
    for place in HOSPITALS:
        if hospital in (None, place.id):
            yield Portion(hospital=place.id, name=f"register-{place.id}", bundle=_bundle(register(place)))
    taken: dict[str, int] = {}
    for number in range(patients):
        chance = Chance(f"cloister-demo/{seed}/{number}")
        place = _hospital_of(chance, number)
        story = chance.pick(STORIES[place.kind])
        admission = _admitted(chance, place, story.wards, taken)
        if hospital in (None, place.id):
            _, resources = new_record(chance, place, number, story, admission, today)
            yield Portion(hospital=place.id, name=f"patient-{number:06d}", bundle=_bundle(resources))


def generate(patients: int, seed: int, *, today: date = TODAY, hospital: str | None = None) -> Iterator[dict[str, Any]]:
    """Transaction bundles alone."""
    for portion in portions(patients, seed, today=today, hospital=hospital):
        yield portion.bundle


def _hospital_of(chance: Chance, number: int) -> HospitalPlan:
    general, psychiatric = HOSPITALS
    # The first two patients show one hospital each, however few are made.
    share = chance.random()
    return (general, psychiatric)[number] if number < 2 else psychiatric if share < PSYCHIATRIC_SHARE else general


def _admitted(chance: Chance, place: HospitalPlan, specialties: tuple[str, ...], taken: dict[str, int]) -> Admission | None:
    """A bed in a ward of the story, for some, while beds last."""
    wards = [ward for ward in place.wards if ward.specialty in specialties]
    ward = chance.pick(wards)
    number = taken.get(ward.id, 0) + 1
    if not chance.yes(IN_HOSPITAL_SHARE) or number > BEDS_USED_MAX:
        return None
    taken[ward.id] = number
    return Admission(ward=ward, bed=bed_id(ward.id, number))


def _bundle(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(resource) for resource in resources]}


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    kind, identity = resource["resourceType"], resource["id"]
    if len(identity) == 36 and identity[8] == "-" == identity[23] and kind not in {"Practitioner", "PractitionerRole"}:
        return {"fullUrl": f"urn:uuid:{identity}", "resource": resource, "request": {"method": "POST", "url": kind}}
    # Known by name to every bundle: written under that very id.
    return {
        "fullUrl": f"https://cloister.example/fhir/{kind}/{identity}",
        "resource": resource,
        "request": {"method": "PUT", "url": f"{kind}/{identity}"},
    }
