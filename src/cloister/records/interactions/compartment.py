"""Compartment search: one type, or with * several, within one patient's record. http://hl7.org/fhir/R4/http.html#vsearch.

By compartmentdefinition-patient.html: a resource is in the record of the patient whom it is about; where several patients
took part, in the record of the first whom the compartment names. Further pages are those of a search by type.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from cloister.base.errors import NotFound, Unsupported
from cloister.records.definitions import is_type, load
from cloister.records.fhir.exchange import Exchange
from cloister.records.fhir.outcomes import WrongMethod, not_here
from cloister.records.interactions.search import shown
from cloister.records.interactions.search_types import said, types_of
from cloister.records.search import parse, parse_types, together
from cloister.records.stored import DELETED

EVERY: Final = "*"  # http.html#search: GET [base]/Patient/[id]/*


async def compartment(exchange: Exchange) -> Response:
    """By GET."""
    return await _search(exchange, exchange.pairs())


async def compartment_by_post(exchange: Exchange) -> Response:
    """By POST to _search."""
    return await _search(exchange, await exchange.form())


async def _search(exchange: Exchange, pairs: list[tuple[str, str]]) -> Response:
    type, id, member = exchange.path["type"], exchange.path["id"], exchange.path["member"]
    if member.startswith("$"):
        raise Unsupported("This operation is not offered.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    if member != EVERY and not is_type(member):
        raise WrongMethod("There is nothing at this address.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    if type != "Patient":
        asked = "Search" if member == EVERY else f"Search {member}"
        raise Unsupported(f"The compartment of a {type} is not offered.", hint=f"{asked} by a parameter that names the {type}.")
    named, asked_for = types_of(pairs) if member == EVERY else ([member], pairs)
    for one in named:
        if one not in load().compartment:
            raise Unsupported(f"No {one} is in a patient's compartment.", hint=f"Search {one} by itself.")
    now = datetime.now(UTC)
    if member == EVERY:
        queries = parse_types(named or [*load().compartment], asked_for, base=exchange.base, now=now)
    else:
        queries = [parse(member, pairs, strict=exchange.strict, base=exchange.base, now=now)]
    try:
        page = await exchange.records.search_types(queries, patient=id, named=bool(named))
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    more = said(named) if member == EVERY else []
    return shown(exchange, page, together(queries), f"/{type}/{id}/{member}", more)
