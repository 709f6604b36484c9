"""In which format a client wants its answer, and in which it sends. Spec: http://hl7.org/fhir/R4/http.html#mime-type, RFC 9110 12.5.1.

`_format` goes before Accept. Where a client leaves the choice to us it gets JSON, or XML if that is what it sent.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from cloister.records.fhir.outcomes import NotAcceptable

FHIR_JSON: Final = "application/fhir+json"
FHIR_XML: Final = "application/fhir+xml"
JSON: Final = frozenset({FHIR_JSON, "application/json", "text/json", "json"})
XML: Final = frozenset({FHIR_XML, "application/xml", "text/xml", "xml"})
OFFERED: Final = (FHIR_JSON, "application/json", "text/json", FHIR_XML, "application/xml", "text/xml")
SHORT: Final = {"json": FHIR_JSON, "xml": FHIR_XML}
RANGES_MAX: Final = 32
WEIGHT: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
VERSION: Final = re.compile(r"4\.0(\.1)?")
HINT: Final = f"Send Accept: {FHIR_JSON} or {FHIR_XML}; Turtle and HTML are not served."


@dataclass(frozen=True, slots=True)
class Format:
    """`media` is what the client called it: who asks for application/json is answered with application/json."""

    media: str

    @property
    def xml(self) -> bool:
        return self.media in XML


IN_JSON: Final = Format(FHIR_JSON)


@dataclass(frozen=True, slots=True)
class _Range:
    """One media range of an Accept header."""

    media: str
    weight: float
    place: int

    def exactness(self, media: str) -> int:
        """2 for the type itself, 1 for its family, 0 for any; -1 where it does not cover the type."""
        if self.media == media:
            return 2
        family, _, rest = self.media.partition("/")
        if rest != "*":
            return -1
        return 0 if family == "*" else 1 if media.startswith(f"{family}/") else -1


def format_of(request: Request) -> Format:
    """The format of the answer; raises NotAcceptable when the client takes none that is served."""
    accept = request.headers.get("accept", "")
    asked = request.query_params.get("_format") if b"_format" in request.scope["query_string"] else None
    if asked is None and accept in ("", FHIR_JSON, "*/*") and "xml" not in request.headers.get("content-type", ""):
        return IN_JSON
    return chosen(accept, asked, media_type(request) in XML)


@functools.lru_cache(maxsize=256)
def chosen(accept: str, asked: str | None, sent_xml: bool) -> Format:
    """By `_format` (`asked`), or else by Accept."""
    ranges = _ranges(asked.replace(" ", "+") if asked is not None else accept)  # a '+' sent unescaped arrives as a blank
    if not ranges and asked is None and not accept.strip():
        return Format(FHIR_XML if sent_xml else FHIR_JSON)
    ours = sorted(OFFERED, key=lambda media: (media in XML) is not sent_xml)
    best: tuple[float, int, int] | None = None
    found = ""
    for media in ours:
        fitting = [(one.exactness(media), -one.place, one.weight) for one in ranges if one.exactness(media) >= 0]
        if fitting:
            exactness, place, weight = max(fitting)
            rank = (weight, exactness, place)
            if weight > 0 and (best is None or rank > best):
                best, found = rank, media
    if best is None:
        raise NotAcceptable("This server answers in JSON or XML, of FHIR 4.0.", hint=HINT)
    return Format(found)


def _ranges(text: str) -> list[_Range]:
    found: list[_Range] = []
    for place, part in enumerate(text.lower().split(",")[:RANGES_MAX]):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        if not media:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.replace(" ", "").partition("=")
            if name == "q":
                match = WEIGHT.fullmatch(f"q={value}")
                weight = float(match[1]) if match else 0.0
            elif name == "fhirversion" and not VERSION.fullmatch(value):
                weight = 0.0
        found.append(_Range(SHORT.get(media, media), weight, place))
    return found


def media_type(request: Request) -> str:
    """Of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
