"""Patients for these tests, and what is written about them."""

from __future__ import annotations

import secrets
from typing import Any

from store_rig import Session

from cloister.records import Page, Written, parse

LOINC = "http://loinc.org"


def patient(family: str = "Lopez", given: str = "Maria", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "name": [{"family": family, "given": [given]}],
        "gender": "female",
        "birthDate": "1950-02-03",
        "identifier": [{"system": "urn:test:ins", "value": secrets.token_hex(6)}],
        **more,
    }


def weight(patient_id: str, kilograms: float = 71.5, day: str = "2026-11-20") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "29463-7", "display": "Body weight"}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": f"{day}T08:00:00Z",
        "valueQuantity": {"value": kilograms, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }


def stay(patient_id: str, ward: str, status: str = "in-progress") -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": "2026-11-20T08:00:00Z"},
        "location": [{"location": {"reference": f"Location/{ward}"}, "status": "active"}],
    }


async def admitted(session: Session, family: str = "Lopez", *, ward: str | None = None) -> str:
    """A new patient, with a stay at the ward if one is named; her id."""
    written = await session.records.create(patient(family))
    if ward is not None:
        await session.records.create(stay(written.stored.id, ward))
    return written.stored.id


async def weighed(session: Session, patient_id: str, kilograms: float = 71.5) -> Written:
    return await session.records.create(weight(patient_id, kilograms))


async def search(session: Session, type: str, text: str) -> Page:
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in text.split("&") if part)]
    return await session.records.search(parse(type, pairs))


async def found(session: Session, type: str, text: str) -> list[str]:
    """The ids of the matches."""
    return [hit.stored.id for hit in (await search(session, type, text)).hits if hit.mode == "match"]
