"""The FHIR endpoint of a session: which interaction answers which address. Spec: http://hl7.org/fhir/R4/http.html#summary.

`request.state.records` is the session's own record; the composition puts it there. Every expected error becomes
an OperationOutcome here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import CloisterError, Invalid, NotFound, Unsupported
from cloister.records.definitions import is_type
from cloister.records.fhir.addresses import Address, Addresses, fitting
from cloister.records.fhir.answering import finished
from cloister.records.fhir.exchange import ASKED_FORMAT, BASE, Exchange, error_response
from cloister.records.fhir.formats import IN_JSON, format_of
from cloister.records.fhir.offered import OFFERED
from cloister.records.fhir.outcomes import WrongMethod
from cloister.records.interactions import binary, export, import_
from cloister.records.interactions.batch import Endpoint, batch
from cloister.records.interactions.closure import closure
from cloister.records.interactions.compartment import compartment, compartment_by_post
from cloister.records.interactions.create import create
from cloister.records.interactions.delete import delete, delete_where
from cloister.records.interactions.document import document
from cloister.records.interactions.everything import everything, everything_of_all
from cloister.records.interactions.expand import expand
from cloister.records.interactions.history import history, history_of_all, history_of_type
from cloister.records.interactions.ingest import describe, put
from cloister.records.interactions.lastn import lastn
from cloister.records.interactions.lookup import lookup
from cloister.records.interactions.metadata import metadata, openapi
from cloister.records.interactions.patch import ACCEPT_PATCH, patch, patch_where
from cloister.records.interactions.read import read
from cloister.records.interactions.search import search, search_by_post
from cloister.records.interactions.search_types import search_types, search_types_by_post
from cloister.records.interactions.subscription_status import subscription_status
from cloister.records.interactions.subsumes import subsumes
from cloister.records.interactions.transaction import transaction
from cloister.records.interactions.translate import translate
from cloister.records.interactions.update import update, update_where
from cloister.records.interactions.validate import validate
from cloister.records.interactions.validate_code import validate_code
from cloister.records.interactions.vread import vread

Interaction = Callable[[Exchange], Awaitable[Response]]
HANDLERS: Final[dict[str, Interaction]] = {  # by the key of a row of what is offered
    "metadata": metadata,
    "openapi": openapi,
    "describe": describe,
    "put": put,
    "history_of_all": history_of_all,
    "history_of_type": history_of_type,
    "search_by_post": search_by_post,
    "search_types": search_types,
    "search_types_by_post": search_types_by_post,
    "validate": validate,
    "lastn": lastn,
    "everything": everything,
    "everything_of_all": everything_of_all,
    "document": document,
    "subscription_status": subscription_status,
    "lookup": lookup,
    "validate-code": validate_code,
    "closure": closure,
    "subsumes": subsumes,
    "expand": expand,
    "translate": translate,
    "export_of_system": export.of_system,
    "export_of_patients": export.of_patients,
    "export_of_group": export.of_group,
    "export_status": export.status,
    "export_cancel": export.cancel,
    "export_file": export.file,
    "import_begin": import_.begin,
    "import_status": import_.status,
    "import_cancel": import_.cancel,
    "import_report": import_.report,
    "binary_create": binary.create,
    "binary_read": binary.read,
    "binary_update": binary.update,
    "search": search,
    "create": create,
    "update_where": update_where,
    "delete_where": delete_where,
    "patch_where": patch_where,
    "read": read,
    "update": update,
    "delete": delete,
    "patch": patch,
    "history": history,
    "vread": vread,
    "compartment": compartment,
    "compartment_by_post": compartment_by_post,
}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def endpoint(origin: str = "", more: Mapping[str, Interaction] | None = None) -> Addresses:
    """The application under /fhir/R4. `origin` (https://host:port) begins every link; left out, it is taken from each request.

    `more`: who answers the rows that another room answers, by their key; their errors become OperationOutcomes like all.
    """
    base = f"{origin.rstrip('/')}{BASE}" if origin else ""

    async def bundle(exchange: Exchange) -> Response:
        return await _bundle(exchange, served.answer)

    handlers = {**HANDLERS, **(more or {}), "bundle": bundle}
    addresses: list[Address] = []
    elsewhere = _elsewhere(addresses)
    found: dict[tuple[str, frozenset[str]], Address] = {}
    for one in OFFERED:  # rows of one address for different types share their route
        if one.key not in handlers:
            continue
        methods = frozenset((*one.methods, "HEAD") if "GET" in one.methods else one.methods)
        answer = _answering(handlers[one.key], base, one.of, elsewhere, any_format=one.any_format)
        found.setdefault((one.path, methods), Address(one.path, methods, answer))
    addresses.extend(found.values())
    served = Addresses(BASE, addresses, _answering(elsewhere, base, "", elsewhere))
    return served


def _answering(
    interaction: Interaction, base: str, of: str, elsewhere: Interaction, *, any_format: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        format = IN_JSON
        try:
            if not any_format:
                format = format_of(request)
            if of:  # an address of one type's own
                request.path_params["type"] = of
            exchange = Exchange(request, request.state.records, base or _own_address(request))
            type = request.path_params.get("type")
            if type is not None and not is_type(type):  # an operation's own address by another method, or nothing
                given = await elsewhere(exchange)
            elif request.path_params.get("id", "").startswith(("$", "_")):
                raise _no_id(request.path_params["id"])
            else:
                given = await interaction(exchange)
        except CloisterError as refused:
            given = error_response(refused)
        return finished(request, given, request.scope.get(ASKED_FORMAT, format))

    return answer


def _no_type(name: str) -> CloisterError:
    if name.startswith("$"):
        return Unsupported("This operation is not offered.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    return NotFound("There is no such resource type in FHIR R4.", hint="Mind upper and lower case: Patient, Observation.")


def _no_id(name: str) -> CloisterError:
    """Words of FHIR's own that stand where an id would."""
    if name.startswith("$"):
        return Unsupported("This operation is not offered here.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    if name == "_search":
        return WrongMethod("A search at _search is sent by POST.", hint="Use POST, or GET without '/_search'.", allow="POST, OPTIONS")
    return NotFound("There is nothing at this address.", hint="See the CapabilityStatement at /fhir/R4/metadata.")


def _own_address(request: Request) -> str:
    """As the client sees us; TLS ends at the gateway, which says so."""
    scheme = request.headers.get("x-forwarded-proto", "https")
    host = request.headers.get("host", "localhost")
    return f"{'http' if scheme == 'http' else 'https'}://{host}{BASE}"


async def _bundle(exchange: Exchange, endpoint: Endpoint) -> Response:
    """POST to the base: the body says whether all or each (http.html#transaction)."""
    body = await exchange.bundle()
    if body.get("resourceType") != "Bundle":
        hint = "Send a resource to the address of its type."
        raise Invalid("Only a Bundle is sent to the base address.", hint=hint, expression="resourceType")
    if not isinstance(body.get("entry", []), list):
        raise Invalid("Bundle.entry is not a list.", hint="Send a list of entries.", expression="Bundle.entry")
    match body.get("type"):
        case "transaction":
            return await transaction(exchange, body)
        case "batch":
            return await batch(exchange, body, endpoint)
        case _:
            text = "This Bundle is neither a transaction nor a batch."
            raise Invalid(text, hint="Set its type to one of them.", expression="Bundle.type")


def _elsewhere(addresses: Sequence[Address]) -> Interaction:
    """What the standard knows and this server does not, said by name; and which methods an address has (RFC 9110 9.3.7, 15.5.6)."""

    async def answer(exchange: Exchange) -> Response:
        method, path = exchange.request.method, exchange.request.url.path.removeprefix(BASE)
        found = {method for methods, names in fitting(addresses, path) if _may_be(names) for method in methods}
        allowed = ", ".join(method for method in METHODS if method in found or (found and method == "OPTIONS"))
        if allowed and method == "OPTIONS":
            patch = {"Accept-Patch": ACCEPT_PATCH} if "PATCH" in allowed else {}
            return Response(status_code=204, headers={"Allow": allowed, **patch})
        if allowed:
            raise WrongMethod(f"{method} is not offered at this address.", hint=f"Use {allowed}.", allow=allowed)
        parts = [part for part in path.split("/") if part]
        if any(part.startswith("$") for part in parts):
            raise Unsupported("This operation is not offered.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
        if parts and not is_type(parts[0]):
            raise _no_type(parts[0])
        raise NotFound("There is nothing at this address.", hint="See the CapabilityStatement at /fhir/R4/metadata.")

    return answer


def _may_be(names: Mapping[str, str]) -> bool:
    """True where what stands in the place of a type is one, and what stands in the place of an id is no word of FHIR's own."""
    types = all(is_type(names[one]) or (one == "member" and names[one] == "*") for one in ("type", "member") if one in names)
    return types and not any(text[:1] in ("$", "_") for text in names.values())
