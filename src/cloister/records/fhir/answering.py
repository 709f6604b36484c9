"""The last step of every answer: indented where that was asked for, compressed where that is safe and worth it.

Spec: http://hl7.org/fhir/R4/http.html#parameters (_pretty), #compression; RFC 9110 8.4, RFC 1952.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.outcomes import TooLarge

COMPRESSED_FROM: Final = 4096  # below, the time costs more than the bytes
LEVEL: Final = 1
GZIP: Final = frozenset({"gzip", "x-gzip", "*"})
CHUNK: Final = 1024 * 1024
WITHOUT_BODY: Final = frozenset({204, 304})


def finished(request: Request, answer: Response) -> Response:
    """The answer as it leaves."""
    body = bytes(answer.body)
    if answer.status_code in WITHOUT_BODY or not body:
        return answer
    before = body
    if request.query_params.get("_pretty") == "true" and answer.headers.get("content-type", "").startswith("application/fhir+json"):
        body = msgspec.json.format(body, indent=2)  # digits stay as they are written
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    if len(body) >= COMPRESSED_FROM:
        headers["vary"] = "Accept-Encoding"
        if compresses(request):
            body = gzip.compress(body, LEVEL, mtime=0)
            headers["content-encoding"] = "gzip"
    return answer if body is before and "vary" not in headers else Response(body, status_code=answer.status_code, headers=headers)


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
