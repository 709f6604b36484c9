"""search: the resources of one type that match. http://hl7.org/fhir/R4/http.html#search, search.html.

Further pages are tokens of this session. Another session, or this one much later, is told that the page is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.search import Query, parse
from cloister.records.stored import Page

# Some clients (@medplum/core) write a `_count` into every link that they follow; a page stays as long as it was.
WITH_A_PAGE: Final = frozenset({"_elements", "_summary", "_format", "_pretty", "_count"})

Pairs = list[tuple[str, str]]


async def search(exchange: Exchange) -> Response:
    """By GET."""
    return await _search(exchange, exchange.pairs())


async def search_by_post(exchange: Exchange) -> Response:
    """By POST to _search, so that what is asked for stands in no address."""
    return await _search(exchange, await exchange.form())


async def _search(exchange: Exchange, pairs: Pairs) -> Response:
    type = exchange.path["type"]
    tokens, others = in_two(pairs)
    query = parse(type, others, strict=exchange.strict, base=exchange.base, now=datetime.now(UTC))
    page = await (further(exchange, tokens, others) if tokens else exchange.records.search(query))
    return shown(exchange, page, query, f"/{type}", again=bool(tokens))


def in_two(pairs: Pairs) -> tuple[list[str], Pairs]:
    """The tokens of a further page, and what else is asked for."""
    return [text for name, text in pairs if name == "_page"], [pair for pair in pairs if pair[0] != "_page"]


async def further(exchange: Exchange, tokens: Sequence[str], others: Pairs) -> Page:
    """A further page, asked for by its link."""
    if len(tokens) > 1 or not all(name in WITH_A_PAGE for name, _ in others):
        raise Invalid("A page is fetched by its link as it stands.", hint="Follow the link 'next' of the page before.", expression="_page")
    return await exchange.records.page(tokens[0])


def shown(exchange: Exchange, page: Page, query: Query, own: str, more: bundles.Links = (), *, again: bool = False) -> Response:
    """The page as a Bundle. `own` and `more`: bundles.search_links; `again`: a further page."""
    links = bundles.search_links(page, query, own, more, base=exchange.base)
    if again:
        links[0] = ("self", f"{exchange.base}{own}?{exchange.request.url.query}")
    return json_response(bundles.search_set(page, query, base=exchange.base, links=links))
