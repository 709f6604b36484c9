"""patch: a resource changed in some places, by JSON Patch or FHIRPath Patch. http://hl7.org/fhir/R4/http.html#patch, RFC 6902,
fhirpatch.html.

The patch is applied to the version that the client names (If-Match), or to the current one: then once more where
somebody wrote in between. Its outcome is validated and written like any update.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from cloister.base.errors import Conflict, NotFound
from cloister.records.fhir.exchange import Exchange, written_response
from cloister.records.fhir.formats import FHIR_JSON, FHIR_XML, JSON, XML, media_type
from cloister.records.fhir.outcomes import WrongMedia, not_here
from cloister.records.fhir.patching import JSON_PATCH, Patch, of_operations, of_parameters, patched
from cloister.records.fhir.references import localise
from cloister.records.fhir.text import decode
from cloister.records.interactions.target import Stale, check_type, condition_of
from cloister.records.stored import DELETED, Written

ACCEPT_PATCH: Final = f"{JSON_PATCH}, {FHIR_JSON}, {FHIR_XML}"
ATTEMPTS: Final = 5


async def patch(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    operations = await _operations(exchange)
    return await _patch(exchange, type, id, operations)


async def patch_where(exchange: Exchange) -> Response:
    """The one resource that matches the parameters in the address (http.html#patch, conditional)."""
    type = exchange.path["type"]
    query = condition_of(exchange, type)
    operations = await _operations(exchange)
    matched = await exchange.records.matching(query)
    if matched is None:
        raise NotFound(f"No {type} matches the condition.", hint="Create it first, or correct the condition.")
    return await _patch(exchange, type, matched.id, operations)


async def _operations(exchange: Exchange) -> Patch:
    """The patch as a function: by its media type, Parameters or a list of operations."""
    media = media_type(exchange.request)
    if media in JSON or media in XML:
        parameters = await exchange.resource()
        check_type(parameters, "Parameters")
        return of_parameters(parameters)
    if media != JSON_PATCH:
        hint = f"Send operations with Content-Type: {JSON_PATCH}, or Parameters (FHIRPath Patch)."
        raise WrongMedia("This server patches by JSON Patch and FHIRPath Patch.", hint=hint, accept=ACCEPT_PATCH)
    operations = decode(await exchange.body())
    localise({"patch": operations}, exchange.base)
    return of_operations(operations)


async def _patch(exchange: Exchange, type: str, id: str, change: Patch) -> Response:
    if_match = exchange.if_match
    for attempt in range(ATTEMPTS):
        try:
            written = await _write(exchange, type, id, change, if_match)
        except Conflict as conflict:
            if if_match is not None:
                raise Stale.of(conflict) from None
            if conflict.reason != "version" or attempt + 1 == ATTEMPTS:
                raise
            continue
        break
    text = f"{written.stored.reference} has version {written.stored.version} now."
    return written_response(exchange, written.stored, created=False, text=text)


async def _write(exchange: Exchange, type: str, id: str, change: Patch, if_match: int | None) -> Written:
    try:
        stored = await exchange.records.read(type, id)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    if if_match is not None and if_match != stored.version:
        text = f"{type}/{id} has changed since version {if_match}."
        raise Conflict(text, hint="Read it again and repeat.", reason="version")
    resource = patched(stored.raw, change)
    return await exchange.records.update(resource, if_match=stored.version, zone=exchange.zone)
