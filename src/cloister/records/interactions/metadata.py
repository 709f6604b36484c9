"""capabilities: what this server does. http://hl7.org/fhir/R4/http.html#capabilities. The door serves the same text to everybody."""

from __future__ import annotations

from starlette.responses import Response

from cloister.records.definitions import capability_statement
from cloister.records.fhir.exchange import Exchange, json_response


async def metadata(exchange: Exchange) -> Response:
    return json_response(capability_statement())
