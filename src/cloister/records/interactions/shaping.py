"""`_summary` and `_elements` where one resource is read, or a list of its versions. http://hl7.org/fhir/R4/http.html#parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange
from cloister.records.fhir.sending import outgoing
from cloister.records.fhir.subset import Subset
from cloister.records.search import parse
from cloister.records.stored import Stored

SHAPING: Final = ("_summary", "_elements")


def shape_of(exchange: Exchange, type: str) -> Callable[[Stored], bytes]:
    """What of a resource the client wants to see; the whole of it where it says nothing."""
    asked = exchange.request.scope["query_string"]
    if b"_summary" not in asked and b"_elements" not in asked:
        return outgoing
    query = parse(type, [pair for pair in exchange.pairs() if pair[0] in SHAPING], strict=True)
    if query.summary == "count":
        raise Invalid("'_summary=count' is about a search.", hint="Use true, text, data or false.", expression="_summary")
    return Subset(query).of


def kept(exchange: Exchange) -> str:
    """What of the address says how the answer looks, for the links to its other pages: '&_summary=true', or nothing."""
    pairs = [pair for pair in exchange.pairs() if pair[0] in SHAPING]
    return f"&{urlencode(pairs)}" if pairs else ""
