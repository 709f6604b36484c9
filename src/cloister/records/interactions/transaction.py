"""transaction: all entries of a bundle, or none. http://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response


async def transaction(exchange: Exchange, bundle: dict[str, Any]) -> Response:
    outcomes = await exchange.records.transaction(bundle, zone=exchange.zone, idempotent=exchange.repeatable)
    bodies = exchange.returns == "representation"
    return json_response(bundles.answers(outcomes, batch=False, base=exchange.base, bodies=bodies))
