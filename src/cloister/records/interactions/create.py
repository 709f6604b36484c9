"""create: a new resource under an id of the server's making, or none if one matches. http://hl7.org/fhir/R4/http.html#create, #ccreate."""

from __future__ import annotations

from starlette.responses import Response

from cloister.records.fhir.exchange import Exchange, written_response
from cloister.records.interactions.target import check_type
from cloister.records.search import Query, parse
from cloister.records.search.parse import pairs_of


async def create(exchange: Exchange) -> Response:
    type = exchange.path["type"]
    condition = exchange.request.headers.get("if-none-exist")
    query: Query | None = None
    if condition is not None:
        query = parse(type, pairs_of(condition.partition("?")[2] or condition), strict=True, base=exchange.base)
    resource = await exchange.resource()
    check_type(resource, type)
    written = await exchange.records.create(resource, zone=exchange.zone, if_none_exist=query)
    text = f"{written.stored.reference} was created." if written.created else f"{written.stored.reference} matches; nothing was created."
    return written_response(exchange, written.stored, created=written.created, text=text)
