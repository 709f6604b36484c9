"""The card with trends, the table of all values, and the form for a round of vital signs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid
from cloister.epr.kit.bedside import Bedside, open_bedside
from cloister.epr.kit.fhir import each, newest_first, shown_number, text_of, unit_of, value_text, when
from cloister.epr.kit.forms import Form, empty_form, read_form
from cloister.epr.kit.module import Event, Resource, Resources
from cloister.epr.kit.visit import Visit, go
from cloister.epr.modules.vitals.measures import DIASTOLIC, MEASURES, SYSTOLIC
from cloister.epr.modules.vitals.model import Reading, is_adult, observations, readings, rows, vital_signs

NEEDS: Final = {"Observation": 500}
ROUNDS_SHOWN: Final = 60


def _patient(resources: Resources) -> Resource:
    return next(iter(resources.get("Patient", ())), {})


def _readings(resources: Resources, visit: Visit) -> list[Reading]:
    return list(readings(resources.get("Observation", ()), adult=is_adult(_patient(resources), visit.now.date())))


def draw_card(resources: Resources, visit: Visit) -> Mapping[str, Any]:
    return {"rows": rows(_readings(resources, visit), visit.words)}


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    for observation in vital_signs(resources.get("Observation", ())):
        yield Event(
            kind="vitals", at=when(observation), title=text_of(observation.get("code")), detail=visit.words.num(_in_words(observation))
        )


def _in_words(observation: Resource) -> str:
    parts = list(each(observation, "component"))
    if not parts:
        return f"{value_text(observation)} {unit_of(observation.get('valueQuantity'))}".strip()
    values = [value_text(part) for part in parts]
    unit = unit_of(parts[0].get("valueQuantity"))
    return f"{'/'.join(value for value in values if value)} {unit}".strip()


async def show_vitals(request: Request) -> Response:
    """A flowsheet: one line a time, one column a measure, the newest first."""
    bedside = await open_bedside(request, {"Observation": 3000})
    found = _readings(bedside.resources, bedside.visit)
    rounds: dict[str, dict[str, Reading]] = {}
    for reading in sorted(found, key=lambda reading: reading.at.order, reverse=True):
        rounds.setdefault(reading.at.text, {})[reading.measure.name] = reading
    used = [measure for measure in MEASURES if any(measure.name in one for one in rounds.values())]
    shown = list(rounds.values())[:ROUNDS_SHOWN]
    return bedside.page("vitals/list.html", measures=used, rounds=shown, total=len(rounds), rows=rows(found, bedside.visit.words))


async def new_observation(request: Request) -> Response:
    bedside = await open_bedside(request, {"Observation": 200})
    return _drawn(bedside, empty_form(bedside.visit.words, {"at": bedside.visit.words.date(bedside.visit.now)}))


async def save_observation(request: Request) -> Response:
    bedside = await open_bedside(request, {"Observation": 200})
    visit = bedside.visit
    form = await read_form(request, visit.words)
    at = form.moment("at", now=visit.now)
    if at and not at.has_time:
        form.wrong["at"] = visit.word("vitals.time-needed")
    values: dict[str, Decimal] = {}
    for measure in MEASURES:
        value = form.decimal(measure.name, low=measure.low, high=measure.high, unit=measure.shown, needed=False)
        if value is not None:
            values[measure.name] = value
    if not values and form.good:
        form.wrong["systolic"] = visit.word("vitals.nothing")
    if SYSTOLIC.name in values and DIASTOLIC.name in values and values[DIASTOLIC.name] >= values[SYSTOLIC.name]:
        form.wrong["diastolic"] = visit.word("vitals.pressure-order")
    if form.good:
        made = observations(bedside.id, values, at=at, author=visit.actor.name, now=visit.now)
        try:
            if len(made) == 1:
                await bedside.chart.write(made[0])
            else:  # all or nothing
                entries = [{"resource": resource, "request": {"method": "POST", "url": "Observation"}} for resource in made]
                await visit.records.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
            return go(bedside.path("?saved=vitals"))
        except (Invalid, Conflict) as refused:
            form.refused = refused
    return _drawn(bedside, form)


def _drawn(bedside: Bedside, form: Form) -> Response:
    """Beside each field stands the newest earlier value, so that a slip is seen."""
    last: dict[str, Reading] = {}
    for reading in _readings({**bedside.resources, "Observation": newest_first(bedside.resources.get("Observation", ()))}, bedside.visit):
        last.setdefault(reading.measure.name, reading)
    bounds = {measure.name: f"{shown_number(measure.low)}–{shown_number(measure.high)}" for measure in MEASURES}
    return bedside.page("vitals/new.html", form=form, measures=MEASURES, last=last, bounds=bounds, status=200 if form.good else 422)
