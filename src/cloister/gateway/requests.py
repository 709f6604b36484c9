"""What a request to the door may look like, and how refusals are said. RFC 8259 bodies, at most 64 KiB."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from cloister.base.errors import HTTP_STATUS, CloisterError, Invalid
from cloister.base.telemetry import log

BODY_BYTES_MAX: Final = 64 * 1024
# A refused sign-in is answered no sooner than this, so that its time tells nothing about why.
REFUSAL_SECONDS: Final = 0.35
ADDRESS_HEADER: Final = "x-cloister-address"
GATEWAY_HEADER: Final = "x-cloister-gateway"
CARD_HEADER: Final = "x-cloister-card"
LANGUAGES: Final = ("en", "fr")
STATUS: Final = {"sign-in-refused": 401, "challenge-over": 404, "enrolment-refused": 401}


def address_of(request: Request) -> str:
    """The client's address, as Envoy writes it: what the client sent in this header was removed before."""
    return request.headers.get(ADDRESS_HEADER, "")[:64] or "local"


def gateway_of(request: Request) -> str:
    """The gateway by which it came, as that gateway's Envoy says."""
    return request.headers.get(GATEWAY_HEADER, "")[:64]


def card_of(request: Request) -> str:
    """The thumbprint of the certificate that this connection shows (RFC 8705 3.1), as Envoy writes it; empty but at the cards' name."""
    given = request.headers.getlist(CARD_HEADER)
    if not given:
        return ""
    try:
        (hexadecimal,) = given
        return base64.urlsafe_b64encode(bytes.fromhex(hexadecimal)).rstrip(b"=").decode()
    except ValueError:
        raise Invalid("This connection's certificate is not known.", hint="Open the page again.", reason="certificate-missing") from None


def fingerprint_of(card: str) -> bytes:
    """The SHA-256 that card_of wrote down."""
    return base64.urlsafe_b64decode(card + "=" * (-len(card) % 4))


def language_of(request: Request) -> str:
    """The first language of Accept-Language that we speak (RFC 9110 12.5.4)."""
    for part in request.headers.get("accept-language", "")[:200].split(","):
        tag = part.split(";", 1)[0].strip().lower().split("-", 1)[0]
        if tag in LANGUAGES:
            return tag
    return LANGUAGES[0]


async def body_of(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise Invalid("This request is too large.", reason="too-large")
    except ClientDisconnect:
        raise Invalid("The request ended too early.", reason="cut-short") from None
    return bytes(body)


async def json_of(request: Request) -> dict[str, Any]:
    """A JSON object. Only with its media type, which no other site's form can send without being asked first (CORS)."""
    if request.headers.get("content-type", "").split(";", 1)[0].strip().lower() != "application/json":
        raise Invalid("Send JSON.", hint="Content-Type: application/json", reason="media-type")
    try:
        body = json.loads(await body_of(request))
    except (ValueError, RecursionError):
        raise Invalid("This is not JSON.", reason="json") from None
    if not isinstance(body, dict):
        raise Invalid("Send a JSON object.", reason="json")
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):  # half a surrogate pair (RFC 8259 8.2): no name, no password, no row of a database
        raise Invalid("This text is not Unicode.", reason="json") from None
    return body


def text_of(body: dict[str, Any], name: str, characters_max: int = 512) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= characters_max or "\x00" in value:
        raise Invalid(f"'{name}' is missing or is not text.", reason="field", expression=name)
    return value


def bytes_of(body: dict[str, Any], name: str, size: int) -> bytes:
    """Exactly `size` bytes in base64 (RFC 4648)."""
    try:
        value = base64.b64decode(text_of(body, name), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != size:
        raise Invalid(f"'{name}' is not {size} bytes in base64.", reason="field", expression=name)
    return value


def refusal_response(refused: CloisterError) -> Response:
    headers = {"cache-control": "no-store"}
    if refused.category == "busy" and refused.expression.isdigit():
        headers["retry-after"] = refused.expression
    status = STATUS.get(refused.reason, HTTP_STATUS[refused.category])
    if refused.category in ("corrupt", "unavailable"):
        log("door.refused", level="warning", text=refused.text, reason=refused.reason)
    body = {"error": refused.reason or refused.category, "category": refused.category, "text": refused.text, "hint": refused.hint}
    return JSONResponse(body, status_code=status, headers=headers)


async def not_before(began: float, seconds: float = REFUSAL_SECONDS) -> None:
    """Wait until `seconds` have passed since `began` (time.monotonic)."""
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
