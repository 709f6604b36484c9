"""`_summary` and `_elements` where one resource is read, or a list of its versions. http://hl7.org/fhir/R4/http.html#parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange
from cloister.records.fhir.subset import Subset
from cloister.records.search import parse
from cloister.records.stored import Stored

SHAPING: Final = ("_summary", "_elements")


def whole(stored: Stored) -> bytes:
    return stored.raw


def shape_of(exchange: Exchange, type: str) -> Callable[[Stored], bytes]:
    """What of a resource the client wants to see; the bytes as they are where it says nothing."""
    asked = exchange.request.url.query
    if "_summary" not in asked and "_elements" not in asked:
        return whole
    query = parse(type, [pair for pair in exchange.pairs() if pair[0] in SHAPING], strict=True)
    if query.summary == "count":
        raise Invalid("'_summary=count' is about a search.", hint="Use true, text, data or false.", expression="_summary")
    return Subset(query).of


def kept(exchange: Exchange) -> str:
    """What of the address says how the answer looks, for the links to its other pages: '&_summary=true', or nothing."""
    pairs = [pair for pair in exchange.pairs() if pair[0] in SHAPING]
    return f"&{urlencode(pairs)}" if pairs else ""
