"""$ingest: a machine's door into a zone that it cannot read. docs/ingest.md.

GET tells the calling program what it needs to verify and to seal; POST takes one sealed and signed message.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from cloister.base.errors import Invalid
from cloister.records.fhir.exchange import Exchange
from cloister.records.fhir.formats import media_type
from cloister.records.fhir.outcomes import WrongMedia

SEALED: Final = "application/octet-stream"
MATERIAL: Final = ("trust", "certificates", "mandates", "identity", "unlockers", "person")


async def describe(exchange: Exchange) -> Response:
    """The program's own sealed keys, the officers' certificates and mandates, the zones' signed records and their newest epochs."""
    gate = exchange.request.state.records.gate
    rows = await gate.call("trust_material")
    found = await gate.call("ingest_zones")
    return JSONResponse(_plain({**{name: rows[name] for name in MATERIAL}, **found}))


async def put(exchange: Exchange) -> Response:
    """POST ?zone=&epoch=&seq=, the sealed message as the body. 201, or 200 for a message that was there already."""
    if media_type(exchange.request) != SEALED:
        raise WrongMedia("A sealed message is not JSON.", hint=f"Send Content-Type: {SEALED}.")
    asked = exchange.request.query_params
    numbers = {name: int(asked[name]) for name in ("epoch", "seq") if asked.get(name, "").isdigit() and len(asked[name]) < 18}
    if len(numbers) != 2 or not asked.get("zone"):
        raise Invalid("zone, epoch and seq are needed.", hint="Send them in the address.", reason="ingest-address")
    note = {"action": "seal", "kind": "ingest", "object": asked["zone"][:200], "reason": str(numbers["seq"])}
    body = await exchange.body()
    answer = await exchange.request.state.records.gate.call("ingest_put", zone=asked["zone"], body=body, audit=[note], **numbers)
    return JSONResponse(answer, status_code=200 if answer["again"] else 201)


def _plain(value: Any) -> Any:
    """Bytes as Base64, which JSON has no form for."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
