"""Whose dossier a resource belongs in: the patient compartment. Spec: http://hl7.org/fhir/R4/compartmentdefinition-patient.html."""

from __future__ import annotations

import functools
from typing import Any

from cloister.records.definitions import load
from cloister.records.search.compile import extract, parameters
from cloister.records.search.entry import Values
from cloister.records.search.query import Parameter


def patient_reference(resource: dict[str, Any], values: Values | None = None) -> str | None:
    """'Patient/id' of the patient whom this resource is about, or None: then it belongs to no one's dossier.

    A Patient is its own (once it has an id). Where a resource names several patients, the one it is about (`patient`,
    `subject`) goes before those who only took part in it. `values`, if already extracted, saves the work.
    """
    type = resource["resourceType"]
    if type == "Patient":
        return f"Patient/{resource['id']}" if "id" in resource else None
    known = _links(type)
    if not known:
        return None
    found = extract(resource) if values is None else values
    for link in known:
        for place in link.places:
            for value in found.get(place, ()):
                if isinstance(value, str) and value.startswith("Patient/"):
                    return value
    return None


@functools.cache
def _links(type: str) -> tuple[Parameter, ...]:
    known = parameters(type)
    return tuple(known[code] for code in load().compartment.get(type, ()) if code in known)
