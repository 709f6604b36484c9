"""The work list at /: three searches, whatever the number of patients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.epr.kit.finding import bodies, find
from cloister.epr.kit.module import Resource
from cloister.epr.kit.visit import Visit, Ward
from cloister.epr.modules.worklist.model import Findings, findings, rows

STAYS_MAX: Final = 300
NEW_DAYS: Final = 1  # results count as new since the beginning of the day before
FOUND_MAX: Final = 1000


async def show_work_list(request: Request) -> Response:
    visit = Visit.of(request)
    wanted = request.query_params.get("ward", "")
    chosen = _chosen(visit.wards, wanted)
    encounters: list[Resource] = []
    patients: list[Resource] = []
    cut = False
    if chosen:
        places = ",".join(f"Location/{ward.id}" for ward in chosen)
        page = await find(
            visit,
            "Encounter",
            ("status", "in-progress"),
            ("location", places),
            ("_include", "Encounter:patient"),
            ("_count", str(STAYS_MAX)),
            ("_total", "none"),
        )
        encounters, patients, cut = bodies(page, "Encounter"), bodies(page, "Patient"), page.next is not None
    found, complete = await _found(visit, patients)
    made = rows(encounters, patients, chosen, found, visit.now.astimezone().date())
    return visit.page(
        "worklist/list.html",
        nav="/",
        rows=made,
        wards=visit.wards,
        chosen=chosen,
        all=wanted == "all",
        cut=cut,
        complete=complete,
    )


def _chosen(wards: Sequence[Ward], wanted: str) -> tuple[Ward, ...]:
    """One's own ward at first, which is the first; 'all', or one by its id."""
    if wanted == "all":
        return tuple(wards)
    return tuple(ward for ward in wards if ward.id == wanted) or tuple(wards[:1])


async def _found(visit: Visit, patients: Sequence[Resource]) -> tuple[Findings, bool]:
    """(what was found, whether all of it was looked at): an incomplete list says so instead of looking calm."""
    if not patients:
        return Findings(), True
    who = ",".join(f"Patient/{patient.get('id')}" for patient in patients)
    since = visit.now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=NEW_DAYS)
    day = f"ge{since.date().isoformat()}"
    try:
        allergies, results = await asyncio.gather(
            find(visit, "AllergyIntolerance", ("patient", who), ("_count", str(FOUND_MAX)), ("_total", "none")),
            find(
                visit,
                "Observation",
                ("patient", who),
                ("category", "laboratory"),
                ("date", day),
                ("_count", str(FOUND_MAX)),
                ("_total", "none"),
            ),
        )
    except Invalid as refused:
        if refused.reason != "too-costly":
            raise
        return Findings(), False
    found = findings(bodies(allergies, "AllergyIntolerance"), bodies(results, "Observation"), since)
    return found, allergies.next is None and results.next is None
