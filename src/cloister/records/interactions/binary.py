"""Binary: bytes of any kind, as a resource or as themselves. http://hl7.org/fhir/R4/binary.html#rest.

Read with the media type of the content (or anything but FHIR's own) it comes as it is; sent with one, it is stored as
it is. Whose record such bytes belong in only X-Security-Context can say, so it is asked for. What comes as itself is
never shown by a browser as a page of ours: it is a download, in a sandbox.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.records.fhir.exchange import (
    ASKED_FORMAT,
    Exchange,
    json_response,
    resource_headers,
    unchanged,
    written_response,
)
from cloister.records.fhir.formats import FHIR_XML, JSON, format_of, media_type
from cloister.records.fhir.outcomes import NotAcceptable, TooLarge, WrongMedia, not_here
from cloister.records.interactions.create import create as create_resource
from cloister.records.interactions.target import Stale
from cloister.records.interactions.update import update as update_resource
from cloister.records.stored import DELETED

TYPE: Final = "Binary"
RAW_BYTES_MAX: Final = 16 * 1024 * 1024
RESOURCE: Final = JSON | {FHIR_XML, "application/fhir+turtle"}
MEDIA: Final = re.compile(r"[\x21-\x7e]+/[\x21-\x7e]+(?:; ?[\x21-\x7e]+)*")
HARMLESS: Final = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
PATIENT: Final = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")


async def read(exchange: Exchange) -> Response:
    id, request = exchange.path["id"], exchange.request
    wanted = _accepted(request)
    as_resource = "_format" in request.query_params or not wanted or any(one in JSON or one == FHIR_XML for one in wanted)
    if as_resource:
        request.scope[ASKED_FORMAT] = format_of(request)
    try:
        stored = await exchange.records.read(TYPE, id)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(TYPE, id) from None
    headers = resource_headers(stored)
    if unchanged(request, stored):
        return Response(status_code=304, headers=headers)
    if as_resource:
        return json_response(stored.raw, headers=headers)
    resource = stored.resource or {}
    media = str(resource.get("contentType", ""))
    media = media if MEDIA.fullmatch(media) else "application/octet-stream"
    plain = media.partition(";")[0].lower()
    if not any(one in ("*/*", plain, f"{plain.partition('/')[0]}/*") for one in wanted):
        raise NotAcceptable(f"This content is {plain}.", hint=f"Send Accept: {plain}, or application/fhir+json for the resource.")
    return Response(base64.b64decode(resource.get("data", "")), headers=headers | HARMLESS | {"Content-Type": media})


async def create(exchange: Exchange) -> Response:
    if media_type(exchange.request) in RESOURCE:
        return await create_resource(exchange)
    context = _context(exchange)
    if context is None:
        hint = "Send X-Security-Context: Patient/[id], or the bytes in a Binary resource."
        raise Invalid(
            "Nothing says whose record these bytes belong in.", hint=hint, reason="security-context", expression="Binary.securityContext"
        )
    written = await exchange.records.create(await _resource(exchange, context), zone=exchange.zone)
    return written_response(exchange, written.stored, created=True, text=f"{written.stored.reference} was created.")


async def update(exchange: Exchange) -> Response:
    """Bytes under a known id stay in the record in which they are, unless the request says otherwise."""
    if media_type(exchange.request) in RESOURCE:
        return await update_resource(exchange)
    id, if_match = exchange.path["id"], exchange.builds_on
    context = _context(exchange)
    if context is None:
        try:
            context = ((await exchange.records.read(TYPE, id)).resource or {}).get("securityContext")
        except NotFound as absent:
            raise not_here(TYPE, id) from absent
    resource = await _resource(exchange, context) | {"id": id}
    try:
        written = await exchange.records.update(resource, if_match=if_match, zone=exchange.zone)
    except Conflict as conflict:
        raise (Stale.of(conflict) if if_match is not None else conflict) from None
    text = f"{written.stored.reference} has version {written.stored.version} now."
    return written_response(exchange, written.stored, created=written.created, text=text)


def _accepted(request: Request) -> list[str]:
    """The media types of Accept, in lower case, without those of weight 0."""
    parts = [part.strip().lower().replace(" ", "") for part in request.headers.get("accept", "").split(",")]
    return [part.partition(";")[0] for part in parts if part and not re.search(r";q=0(\.0*)?$", part)]


def _context(exchange: Exchange) -> dict[str, Any] | None:
    text = exchange.request.headers.get("x-security-context")
    if text is None:
        return None
    reference = text.strip().removeprefix(f"{exchange.base}/")
    if not PATIENT.fullmatch(reference):
        hint = "Send X-Security-Context: Patient/[id]."
        raise Invalid("X-Security-Context names no patient.", hint=hint, reason="security-context", expression="Binary.securityContext")
    return {"reference": reference}


async def _resource(exchange: Exchange, context: dict[str, Any] | None) -> dict[str, Any]:
    media = exchange.request.headers.get("content-type", "").strip()
    if not MEDIA.fullmatch(media):
        raise WrongMedia("Nothing says what these bytes are.", hint="Send their Content-Type, such as application/pdf.")
    body = await exchange.body()
    if not body:
        raise Invalid("The request has no body.", hint="Send the bytes.", expression="Binary.data")
    if len(body) > RAW_BYTES_MAX:
        limit = RAW_BYTES_MAX // 1024 // 1024
        raise TooLarge(f"These bytes are more than {limit} MiB.", hint="Send them in parts.")
    made: dict[str, Any] = {"resourceType": TYPE, "contentType": media}
    if context is not None:
        made["securityContext"] = context
    return made | {"data": base64.b64encode(body).decode()}
