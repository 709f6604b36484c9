"""What a hospital's patients refer to: the organisation, its wards and beds, its staff. FHIR R4 Organization, Location, Practitioner."""

from __future__ import annotations

import uuid
from typing import Any

from cloister.demo.cast import BEDS_PER_WARD, PEOPLE, staff_of
from cloister.demo.generator import codes
from cloister.identity import HospitalPlan, Role, WardPlan

PHYSICAL = {"wa": "Ward", "bd": "Bed"}


def bed_id(ward: str, number: int) -> str:
    return f"{ward}-{number:02d}"


def _location(identity: str, name: str, physical: str, hospital: HospitalPlan, within: str = "") -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "Location",
        "id": identity,
        "status": "active",
        "name": name,
        "mode": "instance",
        "physicalType": codes.hl7("location-physical-type", physical, PHYSICAL[physical]),
        "managingOrganization": {"reference": f"Organization/{hospital.id}"},
    }
    if within:
        resource["partOf"] = {"reference": f"Location/{within}"}
    return resource


def _practitioner(person: str, name: str, role: Role) -> dict[str, Any]:
    words = name.split(" ")
    prefix = words.pop(0) if words[0] == "Dr" else ""
    spoken: dict[str, Any] = {"text": name, "family": " ".join(words[1:]), "given": [words[0]]}
    if prefix:
        spoken["prefix"] = [prefix]
    return {"resourceType": "Practitioner", "id": person, "active": True, "name": [spoken]}


def _practitioner_role(person: str, name: str, role: Role, ward: WardPlan, hospital: HospitalPlan) -> dict[str, Any]:
    return {
        "resourceType": "PractitionerRole",
        "id": str(uuid.uuid5(PEOPLE, f"{person}/{ward.id}")),
        "active": True,
        "practitioner": {"reference": f"Practitioner/{person}", "display": name},
        "organization": {"reference": f"Organization/{hospital.id}"},
        "code": [codes.hl7("practitioner-role", role.value, role.value.capitalize())],
        "specialty": [{"text": ward.name}],
        "location": [{"reference": f"Location/{ward.id}"}],
    }


def register(hospital: HospitalPlan) -> list[dict[str, Any]]:
    """All of it for one hospital; the ids of wards are those of their zones."""
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "Organization",
            "id": hospital.id,
            "active": True,
            "type": [codes.hl7("organization-type", "prov", "Healthcare Provider")],
            "name": hospital.name,
        }
    ]
    for ward in hospital.wards:
        resources.append(_location(ward.id, ward.name, "wa", hospital))
        resources += [
            _location(bed_id(ward.id, number), f"Lit {number:02d}", "bd", hospital, ward.id) for number in range(1, BEDS_PER_WARD + 1)
        ]
        for person, name, role in staff_of(ward.id):
            resources.append(_practitioner(person, name, role))
            resources.append(_practitioner_role(person, name, role, ward, hospital))
    return resources
