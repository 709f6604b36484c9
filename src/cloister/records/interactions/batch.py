"""batch: each entry of a bundle on its own; what fails says why in its place. http://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import Exchange, json_response


async def batch(exchange: Exchange, bundle: dict[str, Any]) -> Response:
    outcomes = await exchange.records.batch(bundle, zone=exchange.zone)
    bodies = exchange.returns != "minimal"
    return json_response(bundles.answers(outcomes, batch=True, base=exchange.base, bodies=bodies))
