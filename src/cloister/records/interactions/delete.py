"""delete: the resource is gone, its versions are kept. http://hl7.org/fhir/R4/http.html#delete, with a condition #cdelete."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import Conflict, NotFound
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.outcomes import done, not_here
from cloister.records.fhir.text import encode
from cloister.records.interactions.target import Stale, condition_of
from cloister.records.stored import DELETED


async def delete(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    if_match = exchange.if_match
    try:
        await exchange.records.delete(type, id, if_match=if_match)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    except Conflict as conflict:
        raise (Stale.of(conflict) if if_match is not None else conflict) from None
    if exchange.returns == "OperationOutcome":
        return json_response(encode(done(f"{type}/{id} is deleted.")))
    return Response(status_code=204)


async def delete_where(exchange: Exchange) -> Response:
    """The one resource that matches the parameters in the address. That none matches is no error: it is gone, as was asked."""
    query, if_match = condition_of(exchange, exchange.path["type"]), exchange.if_match
    try:
        deleted = await exchange.records.delete_where(query, if_match=if_match)
    except Conflict as conflict:
        raise (Stale.of(conflict) if if_match is not None else conflict) from None
    if exchange.returns == "OperationOutcome":
        text = f"{deleted.reference} is deleted." if deleted is not None else "Nothing matches; nothing was deleted."
        return json_response(encode(done(text)))
    return Response(status_code=204)
