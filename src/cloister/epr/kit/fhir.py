"""Reading FHIR R4 JSON for people: names, codes, quantities, the clinical date of a resource. Never raises on odd input.

Parsed JSON has `dict` and `list` only, and asking for those is several times faster than for `Mapping`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from cloister.epr.kit.moment import Moment

LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
ICD10: Final = "http://hl7.org/fhir/sid/icd-10"
ATC: Final = "http://www.whocc.no/atc"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"

# Where each type keeps its clinically relevant time, best first.
WHEN: Final[dict[str, tuple[str, ...]]] = {
    "Observation": ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
    "AllergyIntolerance": ("onsetDateTime", "recordedDate", "lastOccurrence"),
    "MedicationRequest": ("authoredOn",),
    "MedicationStatement": ("effectiveDateTime", "effectivePeriod", "dateAsserted"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
    "Encounter": ("period",),
    "DocumentReference": ("date",),
    "Composition": ("date",),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod", "issued"),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Immunization": ("occurrenceDateTime",),
    "Appointment": ("start",),
}


def dig(value: Any, *path: str | int) -> Any:
    """value[path[0]][path[1]]..., or None where the road ends."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or len(value) <= step:
                return None
            value = value[step]
        else:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
    return value


def each(value: Any, key: str) -> Iterable[Mapping[str, Any]]:
    """The maps in the list under a key; nothing when there is no such list."""
    found = value.get(key) if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def when(resource: Mapping[str, Any]) -> Moment:
    for name in WHEN.get(str(resource.get("resourceType")), ("date",)):
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start") or value.get("end")
        if isinstance(value, str) and value:
            return Moment(value)
    return Moment()


def newest_first(resources: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(resources, key=lambda resource: when(resource).order, reverse=True)


def text_of(concept: Any) -> str:
    """The words of a CodeableConcept: its text, else a coding's display, else its code."""
    if not isinstance(concept, dict):
        return ""
    if concept.get("text"):
        return str(concept["text"])
    codings = list(each(concept, "coding"))
    for name in ("display", "code"):
        for coding in codings:
            if coding.get(name):
                return str(coding[name])
    return ""


def code_of(concept: Any, system: str = "") -> str:
    """The code in this system, or the first code when no system is asked for."""
    for coding in each(concept, "coding"):
        if coding.get("code") and (not system or coding.get("system") == system):
            return str(coding["code"])
    return ""


def codes_of(concept: Any) -> set[str]:
    return {str(coding["code"]) for coding in each(concept, "coding") if coding.get("code")}


def status_of(resource: Mapping[str, Any], field: str) -> str:
    """The code of a status that is a CodeableConcept, such as Condition.clinicalStatus."""
    return code_of(resource.get(field))


def in_category(resource: Mapping[str, Any], code: str) -> bool:
    return any(code in codes_of(category) for category in each(resource, "category"))


def display_of(reference: Any) -> str:
    return str(reference.get("display") or "") if isinstance(reference, dict) else ""


def id_behind(reference: Any) -> str:
    """'Patient/4711/_history/2' and 'urn:uuid:...' give the id."""
    text = str(reference.get("reference") or "") if isinstance(reference, dict) else ""
    return text.split("/_history/")[0].rpartition("/")[2].removeprefix("urn:uuid:")


def number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def shown_number(value: Any, digits: int | None = None) -> str:
    """As written, but without a machine's tail: 71.30000000001 is 71.3; or with at most so many digits after the point."""
    found = number(value)
    if found is None:
        return ""
    if digits is None:
        digits = 0 if abs(found) >= 1000 else 1 if abs(found) >= 100 else 2
    text = f"{found:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit_of(quantity: Any) -> str:
    unit = dig(quantity, "unit") or dig(quantity, "code") or ""
    return "" if str(unit).startswith("{") and str(unit).endswith("}") else str(unit)


def value_text(observation: Mapping[str, Any]) -> str:
    """Any value[x] of an Observation or of a component, as words, without its unit."""
    quantity = observation.get("valueQuantity")
    if isinstance(quantity, dict):
        return str(quantity.get("comparator") or "") + shown_number(quantity.get("value"))
    for name in ("valueString", "valueDateTime", "valueTime", "valueInteger"):
        if observation.get(name) not in (None, ""):
            return str(observation[name])
    if isinstance(observation.get("valueBoolean"), bool):
        return "+" if observation["valueBoolean"] else "−"
    ratio = observation.get("valueRatio")
    if isinstance(ratio, dict):
        return f"{shown_number(dig(ratio, 'numerator', 'value'))}:{shown_number(dig(ratio, 'denominator', 'value'))}"
    return text_of(observation.get("valueCodeableConcept")) or text_of(observation.get("dataAbsentReason"))
