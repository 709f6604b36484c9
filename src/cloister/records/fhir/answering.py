"""The last step of every answer: in the format that was asked for, indented, compressed where that is safe and worth it.

Spec: http://hl7.org/fhir/R4/http.html#mime-type, #parameters (_pretty), #compression; RFC 9110 8.4, RFC 1952. Until here
every resource is JSON.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cloister.base.errors import Invalid
from cloister.records.fhir.formats import FHIR_JSON, IN_JSON, Format
from cloister.records.fhir.outcomes import NotAcceptable, TooLarge, outcome_bytes, status_of
from cloister.records.fhir.text import decode
from cloister.records.fhir.xml_writing import to_xml

COMPRESSED_FROM: Final = 4096  # below, the time costs more than the bytes
LEVEL: Final = 1
GZIP: Final = frozenset({"gzip", "x-gzip", "*"})
CHUNK: Final = 1024 * 1024
WITHOUT_BODY: Final = frozenset({204, 304})


# A browser draws the XHTML inside XML as a page: it is drawn in a sandbox, with nothing that is fetched or run.
AS_DOCUMENT: Final = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


def finished(request: Request, answer: Response, format: Format = IN_JSON) -> Response:
    """The answer as it leaves; what is made while it is sent goes as it is."""
    if isinstance(answer, StreamingResponse):
        return answer
    body = bytes(answer.body)
    if answer.status_code in WITHOUT_BODY or not body:
        return answer
    before, status = body, answer.status_code
    more: dict[str, str] = {}
    if answer.headers.get("content-type", "").startswith(FHIR_JSON):
        pretty = b"_pretty" in request.scope["query_string"] and request.query_params.get("_pretty") == "true"
        if format.xml:
            body, more, status = _as_xml(body, format, status, pretty=pretty)
        elif pretty:
            body = msgspec.json.format(body, indent=2)  # digits stay as they are written
        if format.media != FHIR_JSON and not more:
            more = {"content-type": f"{format.media}; charset=utf-8"}
    if body is before and not more and len(body) < COMPRESSED_FROM:
        return answer
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"} | more
    if len(body) >= COMPRESSED_FROM:
        headers["vary"] = "Accept, Accept-Encoding"
        if compresses(request):
            body = gzip.compress(body, LEVEL, mtime=0)
            headers["content-encoding"] = "gzip"
    return Response(body, status_code=status, headers=headers)


def _as_xml(body: bytes, format: Format, status: int, *, pretty: bool) -> tuple[bytes, dict[str, str], int]:
    try:
        return to_xml(decode(body), pretty=pretty), {"content-type": f"{format.media}; charset=utf-8", **AS_DOCUMENT}, status
    except NotAcceptable as impossible:
        return outcome_bytes(impossible), {"content-type": f"{FHIR_JSON}; charset=utf-8"}, status_of(impossible)


def compresses(request: Request) -> bool:
    """For programs only. What a browser asks for with its cookie is not compressed: whoever can make a page ask, and see how
    long the answer is, would learn what stands in it from what repeats in it (BREACH)."""
    if "cookie" in request.headers:
        return False
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = part.strip().lower().partition(";")
        if name.strip() in GZIP and weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return True
    return False


def decompressed(body: bytes, most: int) -> bytes:
    """A gzip body, one member or several; raises TooLarge before more than `most` bytes are held."""
    pieces: list[bytes] = []
    size = 0
    while body:
        reader = zlib.decompressobj(wbits=31)
        while not reader.eof:
            try:
                piece = reader.decompress(body, min(CHUNK, most + 1 - size))
            except zlib.error:
                raise _broken() from None
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise TooLarge(f"The body is larger than {most // 1024 // 1024} MiB.", hint="Split it into smaller bundles.")
            body = reader.unconsumed_tail
            if not piece and not body and not reader.eof:
                raise _broken()
        body = reader.unused_data
    return b"".join(pieces)


def _broken() -> Invalid:
    return Invalid("The body is not gzip, or was cut short.", hint="Send it again, or without Content-Encoding.", reason="gzip")
