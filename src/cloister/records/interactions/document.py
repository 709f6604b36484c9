"""Composition/$document: a composition with all that it names, as one document. http://hl7.org/fhir/R4/composition-operation-document.html.

A document is whole or it is not made: where the composition names what this session cannot open, or what never was,
that is said by the name that stands in the composition.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from starlette.responses import Response

from cloister.base.clock import iso
from cloister.base.errors import Invalid, NotFound, Unsupported
from cloister.base.ids import new_id
from cloister.records.definitions import is_type
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.outcomes import not_here
from cloister.records.fhir.references import references
from cloister.records.fhir.sending import outgoing
from cloister.records.fhir.text import encode
from cloister.records.interactions.parameters import sent, single
from cloister.records.stored import DELETED, Stored


class Incomplete(Invalid):
    """The composition names what is not here (HTTP 422)."""

    http_status: ClassVar[int] = 422


async def document(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path["id"]
    if type != "Composition":
        raise Unsupported("$document is offered of compositions only.", hint="Ask Composition/[id]/$document.")
    found = (await sent(exchange)).of("persist", "graph")
    if single(found, "persist") not in (None, "false"):
        raise Unsupported("A document is not kept here.", hint="Leave out 'persist', and store what you receive.", expression="persist")
    if "graph" in found:
        raise Unsupported("Documents by a GraphDefinition are not offered.", hint="Leave out 'graph'.", expression="graph")
    await exchange.records.exported(type)
    try:
        composition = await exchange.records.read(type, id)
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None
    named = _named(composition)
    parts = await exchange.records.many(named)
    missing = [reference for reference in named if reference not in parts]
    if missing:
        raise Incomplete(
            f"This composition names {missing[0]}, which is not here.",
            hint="Correct the composition, or ask somebody who can open all that it names.",
            reason="dangling",
            expression=type,
        )
    return json_response(_bundle(exchange.base, [composition, *(parts[reference] for reference in named)]))


def _named(composition: Stored) -> list[str]:
    """The references to resources of this server, without their versions, in the order of the composition's elements."""
    found: dict[str, None] = {}
    for holder, _ in references(composition.resource or {}):
        text = str(holder["reference"]).partition("/_history/")[0]
        if text.count("/") == 1 and is_type(text.partition("/")[0]) and text != composition.reference:
            found[text] = None
    return sorted(found)


def _bundle(base: str, resources: list[Stored]) -> bytes:
    head = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{new_id()}"},
        "type": "document",
        "timestamp": iso(datetime.now(UTC)),
    }
    entries = [b'{"fullUrl":"%b/%b","resource":%b}' % (base.encode(), one.reference.encode(), outgoing(one)) for one in resources]
    return encode(head)[:-1] + b',"entry":[' + b",".join(entries) + b"]}"
