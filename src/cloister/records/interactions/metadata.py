"""capabilities: what this server does. http://hl7.org/fhir/R4/http.html#capabilities. The door serves the same text to everybody."""

from __future__ import annotations

from starlette.responses import Response

from cloister.base.errors import Invalid
from cloister.records.fhir.capability import capability_statement
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.openapi import openapi_document
from cloister.records.terminology.capabilities import terminology_statement


async def metadata(exchange: Exchange) -> Response:
    mode = exchange.request.query_params.get("mode", "full")
    if mode == "terminology":
        return json_response(terminology_statement())
    if mode not in ("full", "normative"):
        raise Invalid("'mode' takes full, normative or terminology.", hint="Leave it out for the whole statement.", expression="mode")
    return json_response(capability_statement())


async def openapi(exchange: Exchange) -> Response:
    """The same offer in the words of OpenAPI 3.1, for tools that read no CapabilityStatement."""
    return Response(openapi_document(exchange.base), media_type="application/json")
