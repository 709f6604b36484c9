"""read: the current version of a resource. http://hl7.org/fhir/R4/http.html#read."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import NotFound
from cloister.records.fhir.exchange import Exchange, json_response, location, resource_headers, unchanged
from cloister.records.fhir.outcomes import not_here
from cloister.records.interactions.shaping import shape_of
from cloister.records.stored import DELETED


async def read(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    shape = shape_of(exchange, type)
    try:
        stored = await exchange.records.read(type, id)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    headers = resource_headers(stored) | {"Content-Location": location(exchange.base, stored)}
    if unchanged(exchange.request, stored):
        return Response(status_code=304, headers=headers)
    return json_response(shape(stored), headers=headers)
