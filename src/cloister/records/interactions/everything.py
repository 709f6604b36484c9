"""$everything of one patient or one stay. http://hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from cloister.base.errors import Invalid, NotFound, Unsupported
from cloister.records.everything import Asked
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.outcomes import not_here
from cloister.records.interactions.parameters import COUNT_MAX, moment, sent, single, types, whole
from cloister.records.search import Query
from cloister.records.search.entry import TIME_MAX, TIME_MIN
from cloister.records.stored import DELETED, Page

OFFERED: Final = {"Patient": ("_since", "_type", "_count", "_page", "start", "end"), "Encounter": ("_since", "_type", "_count", "_page")}


async def everything(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    if type not in OFFERED:
        raise Unsupported(f"$everything of a {type} is not offered.", hint="Ask for it of a Patient or an Encounter.")
    found = (await sent(exchange)).of(*OFFERED[type])
    token = _token(found)
    if token is not None:
        return listed(exchange, await exchange.records.listed(token), f"{type}/{id}/$everything", type)
    asked = _asked(found)
    try:
        page = await exchange.records.everything(type, id, asked)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    return listed(exchange, page, f"{type}/{id}/$everything", type)


async def everything_of_all(exchange: Exchange) -> Response:
    """Of every patient whom this session can open (GET Patient/$everything)."""
    found = (await sent(exchange)).of(*OFFERED["Patient"])
    token = _token(found)
    page = await (exchange.records.listed(token) if token is not None else exchange.records.everything_of_all(_asked(found)))
    return listed(exchange, page, "Patient/$everything", "Patient")


def _token(found: dict[str, list[str]]) -> str | None:
    token = single(found, "_page")
    if token is not None and len(found) > 1:
        raise Invalid("A page is fetched by its link as it stands.", hint="Follow the link 'next' of the page before.", expression="_page")
    return token


def _asked(found: dict[str, list[str]]) -> Asked:
    since, start, end = moment(found, "_since"), moment(found, "start"), moment(found, "end")
    return Asked(
        types=types(found),
        since=since[0] if since else TIME_MIN,
        start=start[0] if start else TIME_MIN,
        end=end[1] if end else TIME_MAX,
        count=whole(found, "_count", COUNT_MAX, COUNT_MAX),
    )


def listed(exchange: Exchange, page: Page, address: str, type: str) -> Response:
    """A page of an operation's list, with links to the others."""
    base = f"{exchange.base}/{address}"
    asked = exchange.request.url.query
    links = [("self", f"{base}?{asked}" if asked else base)]
    links += [(name, f"{base}?_page={token}") for name, token in (("previous", page.previous), ("next", page.next)) if token is not None]
    return json_response(bundles.search_set(page, Query(type=type), base=exchange.base, links=links))
