"""create: a new resource under an id of the server's making, or none if one matches. http://hl7.org/fhir/R4/http.html#create, #ccreate."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import FORMAT, Exchange, written_response
from cloister.records.interactions.target import check_type
from cloister.records.search import Query, parse
from cloister.records.search.parse import pairs_of


async def create(exchange: Exchange) -> Response:
    type = exchange.path["type"]
    condition = _condition(exchange)
    query: Query | None = None
    if condition is not None:
        query = parse(type, condition, strict=True, base=exchange.base)
    resource = await exchange.resource()
    check_type(resource, type)
    written = await exchange.records.create(resource, zone=exchange.zone, if_none_exist=query)
    text = f"{written.stored.reference} was created." if written.created else f"{written.stored.reference} matches; nothing was created."
    return written_response(exchange, written.stored, created=written.created, text=text)


def _condition(exchange: Exchange) -> list[tuple[str, str]] | None:
    """The parameters of If-None-Exist. Some clients (fhirpy) write them into the address; ignored, they would create twice."""
    header = exchange.request.headers.get("if-none-exist")
    address = [pair for pair in exchange.pairs() if pair[0] not in FORMAT]
    if header is None:
        return address or None
    if address:
        raise Invalid("A create takes no search parameters besides If-None-Exist.", hint="Send the condition once.")
    return pairs_of(header.partition("?")[2] or header)
