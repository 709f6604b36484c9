"""history: the versions of one resource, of a type, or of everything, newest first. http://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from cloister.base.errors import Invalid, NotFound, Unsupported
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import FORMAT, Exchange, json_response
from cloister.records.fhir.outcomes import not_here
from cloister.records.interactions.parameters import moment, single, whole
from cloister.records.interactions.shaping import SHAPING, shape_of
from cloister.records.interactions.shaping import kept as more
from cloister.records.past import History, Span
from cloister.records.search.entry import TIME_MIN
from cloister.records.stored import DELETED

COUNT_DEFAULT: Final = 100
COUNT_MAX: Final = 1000
OF_ONE: Final = ("_count", "_since", "_at", "_start")
OF_MANY: Final = ("_count", "_since", "_at", "_page")


async def history(exchange: Exchange) -> Response:
    """Of one resource."""
    type, id = exchange.path["type"], exchange.path["id"]
    found = _asked(exchange, OF_ONE)
    shape = shape_of(exchange, type)
    count, start, span = whole(found, "_count", COUNT_DEFAULT, COUNT_MAX), _start(found), _span(found)
    try:
        versions = await exchange.records.history(type, id)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    wanted = span.chosen(versions)
    address = f"{exchange.base}/{type}/{id}/_history"
    kept = "".join(f"&{name}={found[name][0]}" for name in ("_since", "_at") if name in found).replace("+", "%2B") + more(exchange)
    links = [("self", f"{address}?_count={count}{kept}")]
    if start + count < len(wanted):
        links.append(("next", f"{address}?_count={count}&_start={start + count}{kept}"))
    return json_response(bundles.history(wanted[start : start + count], base=exchange.base, total=len(wanted), links=links, shape=shape))


async def history_of_type(exchange: Exchange) -> Response:
    return await _many(exchange, exchange.path["type"])


async def history_of_all(exchange: Exchange) -> Response:
    return await _many(exchange, None)


async def _many(exchange: Exchange, type: str | None) -> Response:
    found = _asked(exchange, OF_MANY)
    token = single(found, "_page")
    if token is None:
        span, count = _span(found), whole(found, "_count", COUNT_DEFAULT, COUNT_MAX)
        page = await exchange.records.past(type, span, count)
    elif len(found) == 1:
        page = await exchange.records.past_page(token)
    else:
        raise Invalid("A page is fetched by its link as it stands.", hint="Follow the link 'next' of the page before.", expression="_page")
    return _bundle(exchange, page, f"{exchange.base}/{type}/_history" if type is not None else f"{exchange.base}/_history")


def _bundle(exchange: Exchange, page: History, address: str) -> Response:
    asked = exchange.request.url.query
    links = [("self", f"{address}?{asked}" if asked else address)]
    if page.next is not None:
        links.append(("next", f"{address}?_page={page.next}{more(exchange)}"))
    shape = shape_of(exchange, exchange.path.get("type", "Basic"))
    return json_response(bundles.history(page.versions, base=exchange.base, total=page.total, links=links, shape=shape))


def _asked(exchange: Exchange, known: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in exchange.pairs():
        if name in FORMAT or name in SHAPING:
            continue
        if name not in known:
            raise Unsupported(f"'{name[:64]}' is not offered on a history.", hint="Use _count, _since and _at.", expression=name[:64])
        found.setdefault(name, []).append(text)
    return found


def _span(found: dict[str, list[str]]) -> Span:
    since = moment(found, "_since")
    return Span(since=since[0] if since is not None else TIME_MIN, at=moment(found, "_at"))


def _start(found: dict[str, list[str]]) -> int:
    text = single(found, "_start") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Invalid("'_start' takes a whole number.", hint="Follow the link 'next' as it stands.", expression="_start")
    return int(text)
