"""One request of a FHIR client, read: who asks, what format, which preferences, which conditions; and its answer.

Spec: http://hl7.org/fhir/R4/http.html (mime types, Prefer, ETag), RFC 7240, RFC 9110.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cloister.base.errors import CloisterError, Invalid
from cloister.records.elements import bundle_in_parts
from cloister.records.fhir.answering import decompressed
from cloister.records.fhir.formats import FHIR_JSON, FHIR_XML, JSON, XML, chosen, media_type
from cloister.records.fhir.outcomes import TooLarge, WrongMedia, WrongMethod, done, outcome_of, status_of
from cloister.records.fhir.references import localise
from cloister.records.fhir.sending import outgoing
from cloister.records.fhir.text import decode, encode
from cloister.records.fhir.xml_reading import from_xml
from cloister.records.interactions.port import RecordsPort
from cloister.records.search.parse import pairs_of
from cloister.records.stored import Stored

BASE: Final = "/fhir/R4"
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
FORMAT: Final = frozenset({"_format", "_pretty"})  # parameters of every interaction
ASKED_FORMAT: Final = "fhir_format"  # in the scope: the format, where more than address and Accept decide it
FORM: Final = "application/x-www-form-urlencoded"
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ETAG: Final = re.compile(r'(?:W/)?"(\d{1,9})"')
RETURNS: Final = frozenset({"minimal", "representation", "OperationOutcome"})


class Exchange(Struct, frozen=True):
    """One request with the records of its session."""

    request: Request
    records: RecordsPort
    base: str  # absolute, as in links: https://host/fhir/R4

    @property
    def path(self) -> Mapping[str, str]:
        return self.request.path_params

    @property
    def strict(self) -> bool:
        return preferences(self.request).get("handling") == "strict"

    @property
    def returns(self) -> str:
        """What a write gives back; empty when the client does not say."""
        wanted = preferences(self.request).get("return", "")
        return wanted if wanted in RETURNS else ""

    @property
    def zone(self) -> str | None:
        return self.request.headers.get("cloister-zone") or None

    @property
    def repeatable(self) -> bool:
        """An import: ids of urn:uuid entries are kept and what is stored already is skipped."""
        return self.request.headers.get("cloister-import") == "1"

    @property
    def if_match(self) -> int | None:
        text = self.request.headers.get("if-match")
        return None if text is None else version_of(text)

    @property
    def builds_on(self) -> int | None:
        """The version that a write builds on: of If-Match, or 0 for If-None-Match: *, which makes and never overwrites (RFC 9110, 13)."""
        unless = self.request.headers.get("if-none-match")
        if unless is None:
            return self.if_match
        if unless.strip() != "*" or "if-match" in self.request.headers:
            raise Invalid("If-None-Match of a write takes '*' alone.", hint="Send If-None-Match: * to create, If-Match to update.")
        return 0

    def pairs(self) -> list[tuple[str, str]]:
        return pairs_of(self.request.scope["query_string"].decode("latin-1"))

    async def form(self) -> list[tuple[str, str]]:
        """The parameters of a POST search: of the body first, then of the address (http.html#search)."""
        media = media_type(self.request)
        if media not in (FORM, ""):
            raise WrongMedia("A search is sent as a form.", hint=f"Send Content-Type: {FORM}.")
        body = await self.body()
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise Invalid("The form is not UTF-8.", hint="Percent-encode it as UTF-8.") from None
        pairs = pairs_of(text)
        asked = next((value for name, value in pairs if name == "_format"), None)
        if asked is not None:
            self.request.scope[ASKED_FORMAT] = chosen("", asked, False)
        return pairs + self.pairs()

    async def resource(self) -> dict[str, Any]:
        """The resource in the body, from JSON or XML."""
        media = media_type(self.request)
        if media not in JSON and media not in XML:
            hint = f"Send the resource with Content-Type: {FHIR_JSON} or {FHIR_XML}."
            raise WrongMedia("This server reads JSON and XML.", hint=hint, accept=f"{FHIR_JSON}, {FHIR_XML}")
        body = await self.body()
        return self._object(body, from_xml(body) if media in XML else decode(body))

    async def bundle(self) -> dict[str, Any]:
        """The same; of an import in JSON, a Bundle whose resources are read as they are needed (elements.Parts)."""
        if not self.repeatable or media_type(self.request) not in JSON:
            return await self.resource()
        body = await self.body()
        found = bundle_in_parts(body) if self.base.encode() not in body else None
        return found if found is not None and found["type"] == "transaction" else self._object(body, decode(body))

    def _object(self, body: bytes, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid("The body is not a JSON object.", hint="Send an object with a resourceType.", reason="json")
        if self.base.encode() in body:
            localise(value, self.base)
        return value

    async def body(self) -> bytes:
        """The whole body; raises TooLarge as soon as it is known to be."""
        coding = self.request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip"):
            raise WrongMedia("This compression is not read.", hint="Send the body with gzip, or without Content-Encoding.")
        length = self.request.headers.get("content-length", "")
        chunks: list[bytes] = []
        size = int(length) if length.isdigit() and len(length) < 19 else 0
        if size <= BODY_BYTES_MAX:
            size = 0
            try:
                async for chunk in self.request.stream():
                    size += len(chunk)
                    if size > BODY_BYTES_MAX:
                        break
                    chunks.append(chunk)
            except ClientDisconnect:
                raise Invalid("The request was cut short.", hint="Send it again; nothing was stored.") from None
        if size > BODY_BYTES_MAX:
            limit = BODY_BYTES_MAX // 1024 // 1024
            raise TooLarge(f"The body is larger than {limit} MiB.", hint="Split it into smaller bundles.")
        body = b"".join(chunks)
        return body if coding == "identity" else decompressed(body, BODY_BYTES_MAX)


# --- reading headers ----------------------------------------------------------------------------------------------


def preferences(request: Request) -> dict[str, str]:
    """RFC 7240; the first of equal names counts."""
    found: dict[str, str] = {}
    for header in request.headers.getlist("prefer"):
        for part in re.split(r"[,;]", header):
            name, _, value = part.strip().partition("=")
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def version_of(etag: str) -> int:
    match = ETAG.fullmatch(etag.strip())
    if match is None:
        raise Invalid("If-Match does not hold a version.", hint='Send the ETag as it was received: If-Match: W/"3".')
    return int(match[1])


def unchanged(request: Request, stored: Stored) -> bool:
    """RFC 9110 13.1.2 and 13.1.3: the client has this version already."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or any(match[1] == str(stored.version) for match in ETAG.finditer(tags))
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return stored.updated.replace(microsecond=0) <= parsedate_to_datetime(since).astimezone(UTC)
    except (ValueError, TypeError):
        return False


# --- answers ------------------------------------------------------------------------------------------------------


def etag(version: int) -> str:
    return f'W/"{version}"'


def http_date(moment: datetime) -> str:
    """RFC 9110 5.6.7; every answer has one, so it is put together by hand."""
    utc = moment.astimezone(UTC)
    day, month = DAYS[utc.weekday()], MONTHS[utc.month - 1]
    return f"{day}, {utc.day:02} {month} {utc.year:04} {utc.hour:02}:{utc.minute:02}:{utc.second:02} GMT"


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status_code=status, headers=headers, media_type=f"{FHIR_JSON}; charset=utf-8")


def resource_headers(stored: Stored) -> dict[str, str]:
    return {"ETag": etag(stored.version), "Last-Modified": http_date(stored.updated)}


def location(base: str, stored: Stored) -> str:
    return f"{base}/{stored.type}/{stored.id}/_history/{stored.version}"


def written_response(exchange: Exchange, stored: Stored, *, created: bool, text: str) -> Response:
    """The answer to create and update, as the client prefers it."""
    headers = resource_headers(stored) | {"Location": location(exchange.base, stored)}
    status = 201 if created else 200
    if exchange.returns:
        headers["Preference-Applied"] = f"return={exchange.returns}"  # RFC 7240, 3
    if exchange.returns == "minimal":
        return Response(status_code=status, headers=headers)
    if exchange.returns == "OperationOutcome":
        return json_response(encode(done(text)), status=status, headers=headers)
    return json_response(outgoing(stored), status=status, headers=headers | {"Content-Location": headers["Location"]})


def error_response(error: CloisterError) -> Response:
    headers: dict[str, str] = {}
    if error.category in ("busy", "unavailable"):
        headers["Retry-After"] = "5"
        if error.expression.isdigit():  # seconds to wait, not a place in a resource
            headers["Retry-After"], error.expression = error.expression, ""
    if isinstance(error, WrongMethod) and error.allow:
        headers["Allow"] = error.allow
    if isinstance(error, WrongMedia) and error.accept:
        headers["Accept-Patch" if "patch" in error.accept else "Accept"] = error.accept
    return json_response(encode(outcome_of(error)), status=status_of(error), headers=headers)
