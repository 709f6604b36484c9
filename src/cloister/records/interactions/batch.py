"""batch: each entry of a bundle on its own; what fails says why in its place. http://hl7.org/fhir/R4/http.html#transaction.

Readings, searches and writings of resources are answered by the record. Whatever else has an address here (an operation, a history,
a compartment, the statement of capabilities) is asked of that address, as if it had been sent alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import unquote

from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope

from cloister.base.clock import iso
from cloister.base.errors import Invalid, Unsupported
from cloister.records.elements import Parts
from cloister.records.fhir import bundles
from cloister.records.fhir.exchange import ASKED_FORMAT, BASE, FORMAT, Exchange, json_response
from cloister.records.fhir.formats import FHIR_JSON
from cloister.records.fhir.text import encode
from cloister.records.stored import Outcome

Endpoint = Callable[[Scope, Receive], Awaitable[Response]]
# Of the batch's own request; its form, its conditions and what it accepts are not those of an entry.
KEPT: Final = frozenset({b"host", b"x-forwarded-proto", b"cloister-zone"})
CONDITIONS: Final = {"ifMatch": b"if-match", "ifNoneMatch": b"if-none-match", "ifModifiedSince": b"if-modified-since"}
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


async def batch(exchange: Exchange, bundle: dict[str, Any], endpoint: Endpoint) -> Response:
    async def elsewhere(entry: dict[str, Any]) -> Outcome:
        return await _answered(exchange, entry, endpoint)

    outcomes = await exchange.records.batch(bundle, zone=exchange.zone, elsewhere=elsewhere)
    bodies = exchange.returns != "minimal"
    return json_response(bundles.answers(outcomes, batch=True, base=exchange.base, bodies=bodies))


async def _answered(exchange: Exchange, entry: dict[str, Any], endpoint: Endpoint) -> Outcome:
    """What the entry's own address answers."""
    request, resource = entry["request"], entry.get("resource")
    method, (path, _, query) = request["method"], request["url"].partition("?")
    if method not in METHODS:
        raise Unsupported(f"The method '{method[:16]}' is not offered in a batch.", hint="Use GET, HEAD, POST, PUT, PATCH or DELETE.")
    if method == "POST" and not path.strip("/"):
        raise Invalid(
            "A bundle inside a batch is not taken.", hint="Send its entries themselves.", expression="Bundle.entry[0].request.url"
        )
    body = b""
    if resource is not None:
        body = encode(resource.whole() if isinstance(resource, Parts) else resource)
    headers = [pair for pair in exchange.request.scope["headers"] if pair[0] in KEPT]
    headers += [(header, str(request[name]).encode()) for name, header in CONDITIONS.items() if name in request]
    headers += [(b"accept", FHIR_JSON.encode()), *([(b"content-type", FHIR_JSON.encode())] if body else [])]
    address = f"{BASE}/{path.strip('/')}"
    asked = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in FORMAT)
    scope = {
        **{name: value for name, value in exchange.request.scope.items() if name != ASKED_FORMAT},
        "method": method,
        "path": unquote(address),
        "raw_path": address.encode(),
        "query_string": asked.encode(),
        "headers": headers,
    }
    answer = await endpoint(scope, _receiving(body))
    if isinstance(answer, StreamingResponse):
        raise Unsupported("This is not answered in a batch.", hint="Ask for it alone.")
    kind = answer.headers.get("content-type", "")
    raw = bytes(answer.body) if kind.startswith(FHIR_JSON) and method != "HEAD" else b""
    return Outcome(status=str(answer.status_code), raw=raw, told=_told(answer))


def _receiving(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _told(answer: Response) -> dict[str, str]:
    """Bundle.entry.response by the headers of an answer."""
    found = {"etag": answer.headers.get("etag", ""), "location": answer.headers.get("location", "")}
    changed = answer.headers.get("last-modified", "")
    if changed:
        found["lastModified"] = iso(parsedate_to_datetime(changed))
    return {name: text for name, text in found.items() if text}
