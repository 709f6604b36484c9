"""The sections of a summary: what belongs in each, under which LOINC code, and what stands where nothing is. IPS STU 1.1, Composition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Resource = Mapping[str, Any]
ABSENT: Final = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
TERMS: Final = "http://terminology.hl7.org/CodeSystem"
ABSENT_CODES: Final = {"problems": "no-problem-info", "allergies": "no-allergy-info", "medications": "no-medication-info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    name: str
    code: str  # LOINC
    types: tuple[str, ...]
    belongs: Callable[[Resource], bool]
    required: bool = False
    most: int = 200


def _codes(resource: Resource, element: str) -> set[str]:
    several = resource.get(element) or []
    several = several if isinstance(several, list) else [several]
    return {str(coding.get("code")) for one in several for coding in one.get("coding", ())}


def _right(resource: Resource) -> bool:
    return "entered-in-error" not in {resource.get("status"), *_codes(resource, "verificationStatus")}


def _problem(resource: Resource) -> bool:
    return (
        _right(resource)
        and "refuted" not in _codes(resource, "verificationStatus")
        and not _codes(resource, "clinicalStatus") & {"resolved", "inactive", "remission"}
    )


def _allergy(resource: Resource) -> bool:
    return _right(resource) and not _codes(resource, "clinicalStatus") & {"resolved", "inactive"}


def _medication(resource: Resource) -> bool:
    return resource.get("status") in ("active", "on-hold", "intended", "unknown")


def _observation(category: str) -> Callable[[Resource], bool]:
    def belongs(resource: Resource) -> bool:
        return resource.get("status") in ("final", "amended", "corrected") and category in _codes(resource, "category")

    return belongs


def _done(resource: Resource) -> bool:
    return resource.get("status") in ("completed", "in-progress")


SECTIONS: Final = (
    Section(name="problems", code="11450-4", types=("Condition",), belongs=_problem, required=True),
    Section(name="allergies", code="48765-2", types=("AllergyIntolerance",), belongs=_allergy, required=True),
    Section(name="medications", code="10160-0", types=("MedicationStatement", "MedicationRequest"), belongs=_medication, required=True),
    Section(name="immunizations", code="11369-6", types=("Immunization",), belongs=lambda one: one.get("status") == "completed"),
    Section(name="results", code="30954-2", types=("Observation",), belongs=_observation("laboratory"), most=100),
    Section(name="vitals", code="8716-3", types=("Observation",), belongs=_observation("vital-signs"), most=50),
    Section(name="procedures", code="47519-4", types=("Procedure",), belongs=_done),
    Section(
        name="devices", code="46264-8", types=("DeviceUseStatement",), belongs=lambda one: one.get("status") in ("active", "completed")
    ),
)


def nothing(section: Section, id: str, patient: str, said: str) -> dict[str, Any]:
    """What stands in a required section of which nothing is here: no information, which is not the same as nothing known."""
    subject = {"reference": patient}
    code = {"coding": [{"system": ABSENT, "code": ABSENT_CODES[section.name]}], "text": said}
    if section.name == "allergies":
        clinical = {"coding": [{"system": f"{TERMS}/allergyintolerance-clinical", "code": "active"}]}
        return {"resourceType": "AllergyIntolerance", "id": id, "clinicalStatus": clinical, "code": code, "patient": subject}
    if section.name == "medications":
        return {
            "resourceType": "MedicationStatement",
            "id": id,
            "status": "unknown",
            "medicationCodeableConcept": code,
            "subject": subject,
            "effectivePeriod": {
                "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "not-applicable"}]
            },
        }
    clinical = {"coding": [{"system": f"{TERMS}/condition-clinical", "code": "active"}]}
    return {"resourceType": "Condition", "id": id, "clinicalStatus": clinical, "code": code, "subject": subject}
