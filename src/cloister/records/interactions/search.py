"""search: the resources of one type that match. http://hl7.org/fhir/R4/http.html#search, search.html.

Further pages are tokens of this session. Another session, or this one much later, is told that the page is gone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.search import parse

# Some clients (@medplum/core) write a `_count` into every link that they follow; a page stays as long as it was.
WITH_A_PAGE: Final = frozenset({"_elements", "_summary", "_format", "_pretty", "_count"})


async def search(exchange: Exchange) -> Response:
    """By GET."""
    return await _search(exchange, exchange.pairs())


async def search_by_post(exchange: Exchange) -> Response:
    """By POST to _search, so that what is asked for stands in no address."""
    return await _search(exchange, await exchange.form())


async def _search(exchange: Exchange, pairs: list[tuple[str, str]]) -> Response:
    type = exchange.path["type"]
    tokens = [text for name, text in pairs if name == "_page"]
    others = [pair for pair in pairs if pair[0] != "_page"]
    query = parse(type, others, strict=exchange.strict, base=exchange.base, now=datetime.now(UTC))
    if not tokens:
        page = await exchange.records.search(query)
    elif len(tokens) == 1 and all(name in WITH_A_PAGE for name, _ in others):
        page = await exchange.records.page(tokens[0])
    else:
        raise Invalid("A page is fetched by its link as it stands.", hint="Follow the link 'next' of the page before.", expression="_page")
    links = bundles.search_links(page, query, base=exchange.base)
    if tokens:
        links[0] = ("self", f"{exchange.base}/{type}?{exchange.request.url.query}")
    return json_response(bundles.search_set(page, query, base=exchange.base, links=links))
