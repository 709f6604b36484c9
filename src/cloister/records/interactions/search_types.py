"""search across types: what matches of several types at once. http://hl7.org/fhir/R4/http.html#search, search.html#all.

The types are named in `_type`; without it an `_id` must say what is looked for, because everything of every type would be the whole
trust. What is asked for must be known to all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.definitions import is_type, load
from cloister.records.fhir.exchange import Exchange
from cloister.records.interactions.search import further, in_two, shown
from cloister.records.search import parse_types, together


async def search_types(exchange: Exchange) -> Response:
    """By GET."""
    return await _search(exchange, exchange.pairs())


async def search_types_by_post(exchange: Exchange) -> Response:
    """By POST to _search."""
    return await _search(exchange, await exchange.form())


async def _search(exchange: Exchange, pairs: list[tuple[str, str]]) -> Response:
    tokens, others = in_two(pairs)
    if tokens:
        page = await further(exchange, tokens, others)
        return shown(exchange, page, together(parse_types(load().types, others, base=exchange.base)), "", again=True)
    named, asked = types_of(others)
    if not named and not any(name == "_id" for name, _ in asked):
        hint = "Name them: ?_type=Patient,Encounter&..., or search one type: Patient?..."
        raise Invalid("Which types are searched is not said.", hint=hint, expression="_type")
    queries = parse_types(named or load().types, asked, base=exchange.base, now=datetime.now(UTC))
    page = await exchange.records.search_types(queries, named=bool(named))
    return shown(exchange, page, together(queries), "", said(named))


def said(named: Iterable[str]) -> list[tuple[str, str]]:
    """`_type` as it was understood, for the link to the search itself."""
    text = ",".join(named)
    return [("_type", text)] if text else []


def types_of(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[tuple[str, str]]]:
    """The types that `_type` names, each once (none: it is not there), and what else is asked for."""
    rest, named = [], dict[str, None]()
    for name, text in pairs:
        if name != "_type":
            rest.append((name, text))
            continue
        for type in (piece.strip() for piece in text.split(",")):
            if not is_type(type):
                hint = "Mind upper and lower case: _type=Patient,Encounter."
                raise Invalid(f"There is no resource type '{type[:64]}' in FHIR R4.", hint=hint, expression="_type")
            named[type] = None
    return list(named), rest
