"""The allergy list, and the form that adds to it: http://hl7.org/fhir/R4/allergyintolerance.html."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid
from cloister.epr.kit.bedside import Bedside, open_bedside
from cloister.epr.kit.fhir import newest_first
from cloister.epr.kit.forms import Form, empty_form, read_form
from cloister.epr.kit.module import Event, Resources
from cloister.epr.kit.person import Allergy, allergy_of
from cloister.epr.kit.visit import Visit, go

KINDS: Final = ("allergy", "intolerance")
CATEGORIES: Final = ("medication", "food", "environment", "biologic")
CRITICALITIES: Final = ("low", "high", "unable-to-assess")
_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"


def _allergies(resources: Resources) -> tuple[list[Allergy], list[Allergy]]:
    allergies = [allergy_of(resource) for resource in newest_first(resources.get("AllergyIntolerance", ()))]
    allergies = [allergy for allergy in allergies if allergy.status != "entered-in-error"]
    active = sorted((allergy for allergy in allergies if allergy.status == "active"), key=lambda allergy: not allergy.severe)
    return active, [allergy for allergy in allergies if allergy.status != "active"]


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    return {"allergies": _allergies(resources)[0]}


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    for resource in resources.get("AllergyIntolerance", ()):
        allergy = allergy_of(resource)
        yield Event(
            kind="allergies", at=allergy.since, title=allergy.substance, detail=allergy.reactions, flag="abnormal" if allergy.severe else ""
        )


async def show_allergies(request: Request) -> Response:
    bedside = await open_bedside(request)
    active, others = _allergies(bedside.resources)
    return bedside.page("allergies/list.html", active=active, others=others)


async def new_allergy(request: Request) -> Response:
    bedside = await open_bedside(request)
    return _drawn(bedside, empty_form(bedside.visit.words))


async def save_allergy(request: Request) -> Response:
    bedside = await open_bedside(request)
    visit = bedside.visit
    form = await read_form(request, visit.words)
    substance = form.line("substance")
    kind = form.choice("kind", KINDS)
    category = form.choice("category", CATEGORIES)
    criticality = form.choice("criticality", CRITICALITIES)
    reaction = form.line("reaction", needed=False)
    since = form.moment("since", now=visit.now, needed=False)
    if form.good:
        resource: dict[str, Any] = {
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": {"coding": [{"system": _CLINICAL, "code": "active"}]},
            "verificationStatus": {"coding": [{"system": _VERIFICATION, "code": "confirmed"}]},
            "type": kind,
            "category": [category],
            "criticality": criticality,
            "code": {"text": substance},
            "patient": {"reference": f"Patient/{bedside.id}"},
            "recordedDate": visit.now.isoformat(timespec="seconds"),
            "recorder": {"display": visit.actor.name},
        }
        if reaction:
            resource["reaction"] = [{"manifestation": [{"text": reaction}]}]
        if since:
            resource["onsetDateTime"] = since.text
        try:
            await bedside.chart.write(resource)
            return go(bedside.path("?saved=allergies"))
        except (Invalid, Conflict) as refused:
            form.refused = refused
    return _drawn(bedside, form)


def _drawn(bedside: Bedside, form: Form) -> Response:
    return bedside.page(
        "allergies/new.html", form=form, kinds=KINDS, categories=CATEGORIES, criticalities=CRITICALITIES, status=200 if form.good else 422
    )
