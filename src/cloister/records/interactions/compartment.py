"""Compartment search: one type within one patient's record. http://hl7.org/fhir/R4/http.html#vsearch, compartmentdefinition-patient.html.

A resource is in the record of the patient whom it is about; where several patients took part, in the record of the
first whom the compartment names. Further pages are those of a search by type.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from cloister.base.errors import NotFound, Unsupported
from cloister.records.definitions import is_type, load
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.outcomes import WrongMethod, not_here
from cloister.records.search import parse
from cloister.records.stored import DELETED


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
    if not is_type(member):
        raise WrongMethod("There is nothing at this address.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    if type != "Patient":
        raise Unsupported(f"The compartment of a {type} is not offered.", hint=f"Search {member} by a parameter that names the {type}.")
    if member not in load().compartment:
        raise Unsupported(f"No {member} is in a patient's compartment.", hint=f"Search {member} by itself.")
    query = parse(member, pairs, strict=exchange.strict, base=exchange.base, now=datetime.now(UTC))
    try:
        page = await exchange.records.compartment(id, query)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    links = bundles.search_links(page, query, base=exchange.base)
    asked = links[0][1].partition("?")[2]
    links[0] = ("self", f"{exchange.base}/{type}/{id}/{member}" + (f"?{asked}" if asked else ""))
    return json_response(bundles.search_set(page, query, base=exchange.base, links=links))
