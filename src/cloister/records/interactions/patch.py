"""patch: a resource changed in some places, by JSON Patch or FHIRPath Patch. http://hl7.org/fhir/R4/http.html#patch, RFC 6902,
fhirpatch.html.

The patch is applied to the version that the client names (If-Match), or to the current one: then once more where
somebody wrote in between. Its outcome is validated and written like any update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.records.fhir import fhirpath_patch, pointers
from cloister.records.fhir.exchange import Exchange, written_response
from cloister.records.fhir.formats import FHIR_JSON, FHIR_XML, JSON, XML, media_type
from cloister.records.fhir.outcomes import WrongMedia, not_here
from cloister.records.fhir.references import localise
from cloister.records.fhir.text import decode
from cloister.records.interactions.target import Stale, check_type, condition_of
from cloister.records.stored import DELETED, Written

JSON_PATCH: Final = "application/json-patch+json"
ACCEPT_PATCH: Final = f"{JSON_PATCH}, {FHIR_JSON}, {FHIR_XML}"
Change = Callable[[dict[str, Any]], dict[str, Any]]
ATTEMPTS: Final = 5
OWN: Final = ("resourceType", "id")


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


async def _operations(exchange: Exchange) -> Change:
    """The patch as a function: by its media type, Parameters or a list of operations."""
    media = media_type(exchange.request)
    if media in JSON or media in XML:
        parameters = await exchange.resource()
        check_type(parameters, "Parameters")
        return lambda resource: fhirpath_patch.applied(resource, parameters)
    if media != JSON_PATCH:
        hint = f"Send operations with Content-Type: {JSON_PATCH}, or Parameters (FHIRPath Patch)."
        raise WrongMedia("This server patches by JSON Patch and FHIRPath Patch.", hint=hint, accept=ACCEPT_PATCH)
    operations = decode(await exchange.body())
    localise({"patch": operations}, exchange.base)
    return lambda resource: pointers.apply(resource, operations)


async def _patch(exchange: Exchange, type: str, id: str, change: Change) -> Response:
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


async def _write(exchange: Exchange, type: str, id: str, change: Change, if_match: int | None) -> Written:
    try:
        stored = await exchange.records.read(type, id)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    if if_match is not None and if_match != stored.version:
        text = f"{type}/{id} has changed since version {if_match}."
        raise Conflict(text, hint="Read it again and repeat.", reason="version")
    resource = change(decode(stored.raw))
    for name, value in zip(OWN, (stored.type, stored.id), strict=True):
        if resource.get(name) != value:
            text = f"A patch does not change the {name}."
            raise pointers.Unpatchable(text, hint="Leave it as it is.", reason="own", expression=f"{type}.{name}")
    if not isinstance(resource.get("meta", {}), dict):
        raise Invalid("meta is not an object.", hint="Leave meta.versionId and meta.lastUpdated to the server.", expression=f"{type}.meta")
    return await exchange.records.update(resource, if_match=stored.version, zone=exchange.zone)
