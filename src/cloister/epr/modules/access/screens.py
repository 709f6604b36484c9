"""Names and zones: whoever can decrypt this dossier is on this page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.access import CLINICAL_ROLES
from cloister.epr.kit.bedside import open_bedside


async def show_access(request: Request) -> Response:
    bedside = await open_bedside(request)
    readers, shares = await bedside.chart.readers(), await bedside.chart.shares()
    names: dict[str, tuple[str, str, list[str]]] = {}
    for reader in readers:
        for person, name, role in reader.people:
            names.setdefault(person, (name, role, []))[2].append(reader.name)
    people = sorted(names.values(), key=lambda entry: (entry[1] not in CLINICAL_ROLES, entry[1], entry[0]))
    return bedside.page("access/list.html", tab="/access", readers=readers, people=people, shares=shares, me_id=bedside.visit.actor.person)
