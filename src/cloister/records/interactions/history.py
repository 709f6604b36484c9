"""history: the versions of one resource, newest first. http://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response

from cloister.base.errors import Invalid, NotFound, Unsupported
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.outcomes import not_here
from cloister.records.search.fold import asked_span

COUNT_DEFAULT: Final = 100
COUNT_MAX: Final = 1000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def history(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    count, start, since = COUNT_DEFAULT, 0, EPOCH
    for name, text in exchange.pairs():
        match name:
            case "_count":
                count = min(max(_whole(name, text), 1), COUNT_MAX)
            case "_start":
                start = _whole(name, text)
            case "_since":
                since = EPOCH + timedelta(microseconds=asked_span(text)[0])
            case "_format" | "_pretty":
                pass
            case _:
                raise Unsupported(f"'{name[:64]}' is not offered on a history.", hint="Use _count and _since.", expression=name[:64])
    try:
        versions = await exchange.records.history(type, id)
    except NotFound:
        raise not_here(type, id) from None
    wanted = [stored for stored in versions if stored.updated >= since]
    address = f"{exchange.base}/{type}/{id}/_history"
    links = [("self", f"{address}?_count={count}")]
    if start + count < len(wanted):
        kept = f"&_since={since.isoformat()}" if since > EPOCH else ""
        links.append(("next", f"{address}?_count={count}&_start={start + count}{kept}".replace("+", "%2B")))
    return json_response(bundles.history(wanted[start : start + count], base=exchange.base, total=len(wanted), links=links))


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Invalid(f"'{name}' takes a whole number.", expression=name)
    return int(text)
