"""update: a new version of a resource, or its first under an id that the client chose.

http://hl7.org/fhir/R4/http.html#update, #concurrency, #upsert; with a condition instead of an id, #cond-update.
"""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid
from cloister.records.fhir.exchange import Exchange, written_response
from cloister.records.interactions.target import Stale, check_type, condition_of


async def update(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    if_match = exchange.builds_on
    resource = await exchange.resource()
    check_type(resource, type)
    if resource.get("id") != id:
        hint = f'Send "id": "{id[:64]}" in the resource.'
        raise Invalid("The id in the body is not the id in the address.", hint=hint, expression=f"{type}.id")
    try:
        written = await exchange.records.update(resource, if_match=if_match, zone=exchange.zone)
    except Conflict as conflict:
        raise (Stale.of(conflict) if if_match is not None else conflict) from None
    text = f"{written.stored.reference} has version {written.stored.version} now."
    return written_response(exchange, written.stored, created=written.created, text=text)


async def update_where(exchange: Exchange) -> Response:
    """The one resource that matches the parameters in the address; a new one when none does."""
    type = exchange.path["type"]
    query, if_match = condition_of(exchange, type), exchange.if_match
    resource = await exchange.resource()
    check_type(resource, type)
    try:
        written = await exchange.records.update_where(resource, query, if_match=if_match, zone=exchange.zone)
    except Conflict as conflict:
        raise (Stale.of(conflict) if if_match is not None and conflict.reason != "id-taken" else conflict) from None
    text = f"{written.stored.reference} has version {written.stored.version} now."
    return written_response(exchange, written.stored, created=written.created, text=text)
