"""What the patient takes: http://hl7.org/fhir/R4/medicationrequest.html, medicationstatement.html."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.bedside import open_bedside
from cloister.epr.kit.fhir import ATC, code_of, dig, display_of, each, newest_first, shown_number, text_of, unit_of, when
from cloister.epr.kit.module import Event, Resource, Resources
from cloister.epr.kit.moment import Moment
from cloister.epr.kit.visit import Visit

NEEDS: Final = {"MedicationRequest": 500, "MedicationStatement": 200}
CURRENT: Final = frozenset({"active", "on-hold", "intended"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Medicine:
    name: str
    code: str
    dose: str
    reason: str
    status: str
    since: Moment
    by: str

    @property
    def current(self) -> bool:
        return self.status in CURRENT


def medicine_of(resource: Resource) -> Medicine:
    concept = resource.get("medicationCodeableConcept")
    contained = next((item for item in each(resource, "contained") if item.get("resourceType") == "Medication"), {})
    return Medicine(
        name=text_of(concept) or display_of(resource.get("medicationReference")) or text_of(contained.get("code")),
        code=code_of(concept, ATC),
        dose="; ".join(text for text in map(_dose, each(resource, "dosageInstruction") or each(resource, "dosage")) if text),
        reason=", ".join(text_of(reason) for reason in each(resource, "reasonCode")),
        status=str(resource.get("status") or "unknown"),
        since=when(resource),
        by=display_of(resource.get("requester")),
    )


def _dose(dosage: Mapping[str, Any]) -> str:
    """The instruction in its own words, else dose and timing put together."""
    if dosage.get("text"):
        return str(dosage["text"])
    quantity = dig(dosage, "doseAndRate", 0, "doseQuantity")
    amount = f"{shown_number(dig(quantity, 'value'))} {unit_of(quantity)}".strip()
    repeat = dig(dosage, "timing", "repeat") or {}
    often = ""
    if repeat.get("frequency") and repeat.get("period"):
        often = (
            f"{repeat['frequency']}×/{'' if repeat['period'] == 1 else shown_number(repeat['period']) + ' '}{repeat.get('periodUnit', '')}"
        )
    return " · ".join(part for part in (amount, often, text_of(dosage.get("route"))) if part)


def medicines_of(resources: Resources) -> tuple[list[Medicine], list[Medicine]]:
    """(current, past); one line a medicine: an order that was renewed is shown once, as its newest."""
    both = [*resources.get("MedicationRequest", ()), *resources.get("MedicationStatement", ())]
    current: dict[tuple[str, str], Medicine] = {}
    past: list[Medicine] = []
    for resource in newest_first(both):
        medicine = medicine_of(resource)
        if medicine.status == "entered-in-error":
            continue
        if medicine.current:
            current.setdefault((medicine.name, medicine.dose), medicine)
        else:
            past.append(medicine)
    return list(current.values()), past


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    return {"medicines": medicines_of(resources)[0]}


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    for resource in (*resources.get("MedicationRequest", ()), *resources.get("MedicationStatement", ())):
        medicine = medicine_of(resource)
        detail = " · ".join(part for part in (medicine.dose, visit.words.or_else(f"medication.status.{medicine.status}", "")) if part)
        yield Event(kind="medication", at=medicine.since, title=medicine.name, detail=detail)


async def show_medication(request: Request) -> Response:
    bedside = await open_bedside(request, NEEDS)
    current, past = medicines_of(bedside.resources)
    return bedside.page("medication/list.html", current=current, past=past)
