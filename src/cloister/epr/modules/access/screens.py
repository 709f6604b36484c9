"""Names and zones: whoever can decrypt this dossier is on this page."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Busy, Conflict, Denied, Invalid
from cloister.epr.kit.access import CLINICAL_ROLES
from cloister.epr.kit.bedside import Bedside, open_bedside
from cloister.epr.kit.forms import Form, empty_form, read_form
from cloister.epr.kit.visit import go

SCOPES: Final = ("record", "zone")


async def show_access(request: Request) -> Response:
    bedside = await open_bedside(request)
    return await _drawn(bedside, empty_form(bedside.visit.words))


async def renew_keys(request: Request) -> Response:
    bedside = await open_bedside(request)
    form = await read_form(request, bedside.visit.words)
    reason, scope = form.line("reason"), form.choice("scope", SCOPES)
    if form.good:
        try:
            await bedside.chart.renew_keys(reason, whole_zones=scope == "zone")
            return go(bedside.path("?saved=access"))
        except (Busy, Conflict, Denied, Invalid) as refused:
            form.refused = refused
    return await _drawn(bedside, form)


async def _drawn(bedside: Bedside, form: Form) -> Response:
    readers, shares = await bedside.chart.readers(), await bedside.chart.shares()
    names: dict[str, tuple[str, str, list[str]]] = {}
    for reader in readers:
        for person, name, role in reader.people:
            names.setdefault(person, (name, role, []))[2].append(reader.name)
    people = sorted(names.values(), key=lambda entry: (entry[1] not in CLINICAL_ROLES, entry[1], entry[0]))
    return bedside.page(
        "access/list.html",
        tab="/access",
        readers=readers,
        people=people,
        shares=shares,
        me_id=bedside.visit.actor.person,
        form=form,
        scopes=SCOPES,
        status=200 if form.good else 422,
    )
