"""Observation/$lastn: the last observations of each kind. http://hl7.org/fhir/R4/observation-operation-lastn.html."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from cloister.base.errors import Invalid, Unsupported
from cloister.records.fhir.exchange import Exchange
from cloister.records.interactions.everything import listed
from cloister.records.interactions.parameters import sent, single, whole
from cloister.records.search import parse

MOST: Final = 1000


async def lastn(exchange: Exchange) -> Response:
    """`max` of each kind (one, unless it says more) among the observations of a patient that the other parameters find."""
    type = exchange.path["type"]
    if type != "Observation":
        raise Unsupported("$lastn is offered of observations only.", hint="Ask Observation/$lastn?patient=...")
    values = (await sent(exchange)).values
    found: dict[str, list[str]] = {}
    for name, text in values:
        found.setdefault(name, []).append(text)
    token = single(found, "_page")
    if token is not None:
        return listed(exchange, await exchange.records.listed(token), "Observation/$lastn", type)
    most = whole(found, "max", 1, MOST)
    others = [pair for pair in values if pair[0] != "max"]
    query = parse(type, others, strict=True, base=exchange.base, now=datetime.now(UTC))
    if query.patients() is None:
        raise Invalid(
            "$lastn is about one patient.", hint="Add patient=id or subject=Patient/id.", reason="patient-needed", expression="patient"
        )
    return listed(exchange, await exchange.records.lastn(query, most), "Observation/$lastn", type)
