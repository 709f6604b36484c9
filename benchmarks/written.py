"""What the load writes: one measured value, the same for every group, so that their figures can be compared."""

from __future__ import annotations

from typing import Any


def observation(patient: str, code: str, value: int) -> dict[str, Any]:
    """A FHIR R4 Observation about Patient/`patient`; `code` as a token, system|code; `value` a minute."""
    system, _, plain = code.rpartition("|")
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": system, "code": plain}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-11-22T10:00:00Z",
        "valueQuantity": {"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }
