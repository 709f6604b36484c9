"""Subscription/[id]/$status: what it says, how much has matched, why the last attempt failed.

http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition-backport-subscription-status.html, for subscriptions of R4
without topics: the parameters are those of its status profile, `error` beside them in words.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.text import encode


async def subscription_status(exchange: Exchange) -> Response:
    id = exchange.path["id"]
    stored, counted = await exchange.records.subscription_status(id)
    status = str((stored.resource or {}).get("status", ""))
    events, sent, error, _ = counted if counted is not None else (0, 0, "", "")
    said: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": stored.reference}},
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": "query-status"},
        {"name": "events-since-subscription-start", "valueString": str(events)},
        {"name": "events-told", "valueString": str(sent)},
    ]
    if error:
        said.append({"name": "error", "valueString": error})
    parameters = {"resourceType": "Parameters", "parameter": said}
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [{"resource": parameters, "search": {"mode": "match"}}]}
    return json_response(encode(bundle))
