"""vread: one version of a resource. http://hl7.org/fhir/R4/http.html#vread."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import NotFound
from cloister.records.fhir.exchange import Exchange, json_response, resource_headers
from cloister.records.fhir.outcomes import not_here
from cloister.records.interactions.shaping import shape_of
from cloister.records.stored import DELETED


async def vread(exchange: Exchange) -> Response:
    type, id, version = exchange.path["type"], exchange.path["id"], exchange.path["version"]
    if not version.isascii() or not version.isdigit() or not 0 < int(version[:10]) < 10**9:
        raise not_here(type, id)
    shape = shape_of(exchange, type)
    try:
        stored = await exchange.records.vread(type, id, int(version))
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    return json_response(shape(stored), headers=resource_headers(stored))
