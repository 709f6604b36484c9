"""The FHIR endpoint of a session: which interaction answers which address. Spec: http://hl7.org/fhir/R4/http.html#summary.

`request.state.records` is the session's own record; the composition puts it there. Every expected error becomes
an OperationOutcome here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import CloisterError, Invalid, NotFound, Unsupported
from cloister.records.definitions import is_type
from cloister.records.fhir.addresses import Address, Addresses
from cloister.records.fhir.answering import finished
from cloister.records.fhir.exchange import ASKED_FORMAT, BASE, Exchange, error_response
from cloister.records.fhir.formats import IN_JSON, format_of
from cloister.records.fhir.outcomes import WrongMethod
from cloister.records.interactions import binary, export, import_
from cloister.records.interactions.batch import batch
from cloister.records.interactions.compartment import compartment, compartment_by_post
from cloister.records.interactions.create import create
from cloister.records.interactions.delete import delete, delete_where
from cloister.records.interactions.document import document
from cloister.records.interactions.everything import everything
from cloister.records.interactions.expand import expand
from cloister.records.interactions.history import history, history_of_all, history_of_type
from cloister.records.interactions.ingest import describe, put
from cloister.records.interactions.lastn import lastn
from cloister.records.interactions.lookup import lookup
from cloister.records.interactions.metadata import metadata
from cloister.records.interactions.patch import patch, patch_where
from cloister.records.interactions.read import read
from cloister.records.interactions.search import search, search_by_post
from cloister.records.interactions.subsumes import subsumes
from cloister.records.interactions.transaction import transaction
from cloister.records.interactions.translate import translate
from cloister.records.interactions.update import update, update_where
from cloister.records.interactions.validate import validate
from cloister.records.interactions.validate_code import validate_code
from cloister.records.interactions.vread import vread

Interaction = Callable[[Exchange], Awaitable[Response]]
TERMINOLOGY: Final[dict[str, Interaction]] = {
    "lookup": lookup,
    "validate-code": validate_code,
    "subsumes": subsumes,
    "expand": expand,
    "translate": translate,
}


Operation = tuple[str, Interaction, tuple[str, ...]]  # path below the base, who answers, methods


def endpoint(origin: str = "", more: Sequence[Operation] = ()) -> Addresses:
    """The application under /fhir/R4. `origin` (https://host:port) begins every link; left out, it is taken from each request.

    `more`: operations of other rooms; their errors become OperationOutcomes like all.
    """
    base = f"{origin.rstrip('/')}{BASE}" if origin else ""

    def route(path: str, interaction: Interaction, *methods: str, of: str = "", any_format: bool = False) -> Address:
        allowed = frozenset((*methods, "HEAD") if "GET" in methods else methods)
        return Address(path, allowed, _answering(interaction, base, of, any_format=any_format))

    addresses = [
        *(route(path, interaction, *methods, any_format=True) for path, interaction, methods in more),
        route("/metadata", metadata, "GET"),
        route("/$ingest", describe, "GET"),
        route("/$ingest", put, "POST"),
        route("/$export", export.of_system, "GET", "POST"),
        route("/Patient/$export", export.of_patients, "GET", "POST"),
        route("/Group/{id}/$export", export.of_group, "GET", "POST", of="Group"),
        route(f"/{export.STATUS}/{{job}}", export.status, "GET", any_format=True),
        route(f"/{export.STATUS}/{{job}}", export.cancel, "DELETE", any_format=True),
        route(f"/{export.FILE}/{{job}}/{{number}}", export.file, "GET", any_format=True),
        route("/$import", import_.begin, "POST"),
        route(f"/{import_.STATUS}/{{job}}", import_.status, "GET", any_format=True),
        route(f"/{import_.STATUS}/{{job}}", import_.cancel, "DELETE", any_format=True),
        route(f"/{import_.REPORT}/{{job}}", import_.report, "GET", any_format=True),
        route("", _bundle, "POST"),
        route("/", _bundle, "POST"),
        route("/_history", history_of_all, "GET"),
        route("/{type}/_history", history_of_type, "GET"),
        route("/{type}/_search", search_by_post, "POST"),
        route("/{type}/$validate", validate, "POST"),
        route("/{type}/$lastn", lastn, "GET", "POST"),
        route("/{type}/{id}/$validate", validate, "GET", "POST"),
        route("/{type}/{id}/$everything", everything, "GET", "POST"),
        route("/{type}/{id}/$document", document, "GET", "POST"),
        *(
            route(f"{path}/${name}", operation, "GET", "POST")
            for name, operation in TERMINOLOGY.items()
            for path in (("/{type}",) if name == "lookup" else ("/{type}", "/{type}/{id}"))
        ),
        route("/Binary", binary.create, "POST", of="Binary"),
        route("/Binary/{id}", binary.read, "GET", of="Binary", any_format=True),
        route("/Binary/{id}", binary.update, "PUT", of="Binary"),
        route("/{type}", search, "GET"),
        route("/{type}", create, "POST"),
        route("/{type}", update_where, "PUT"),
        route("/{type}", delete_where, "DELETE"),
        route("/{type}", patch_where, "PATCH"),
        route("/{type}/{id}", read, "GET"),
        route("/{type}/{id}", update, "PUT"),
        route("/{type}/{id}", delete, "DELETE"),
        route("/{type}/{id}", patch, "PATCH"),
        route("/{type}/{id}/_history", history, "GET"),
        route("/{type}/{id}/_history/{version}", vread, "GET"),
        route("/{type}/{id}/{member}", compartment, "GET"),
        route("/{type}/{id}/{member}/_search", compartment_by_post, "POST"),
    ]
    return Addresses(BASE, addresses, _answering(_elsewhere, base, ""))


def _answering(interaction: Interaction, base: str, of: str, *, any_format: bool = False) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        format = IN_JSON
        try:
            if not any_format:
                format = format_of(request)
            if of:  # an address of one type's own
                request.path_params["type"] = of
            type = request.path_params.get("type")
            if type is not None and not is_type(type):
                raise NotFound("There is no such resource type in FHIR R4.", hint="Mind upper and lower case: Patient, Observation.")
            given = await interaction(Exchange(request, request.state.records, base or _own_address(request)))
        except CloisterError as refused:
            given = error_response(refused)
        return finished(request, given, request.scope.get(ASKED_FORMAT, format))

    return answer


def _own_address(request: Request) -> str:
    """As the client sees us; TLS ends at the gateway, which says so."""
    scheme = request.headers.get("x-forwarded-proto", "https")
    host = request.headers.get("host", "localhost")
    return f"{'http' if scheme == 'http' else 'https'}://{host}{BASE}"


async def _bundle(exchange: Exchange) -> Response:
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
            return await batch(exchange, body)
        case _:
            text = "This Bundle is neither a transaction nor a batch."
            raise Invalid(text, hint="Set its type to one of them.", expression="Bundle.type")


async def _elsewhere(exchange: Exchange) -> Response:
    """What the standard knows and this server does not, said by name."""
    parts = [part for part in exchange.request.url.path.removeprefix(BASE).split("/") if part]
    method = exchange.request.method
    if any(part.startswith("$") for part in parts):
        raise Unsupported("This operation is not offered.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    if parts and not is_type(parts[0]) and parts[0] not in ("_history", "_search", "metadata"):
        raise NotFound("There is no such resource type in FHIR R4.", hint="Mind upper and lower case: Patient, Observation.")
    if not parts or parts[-1] in ("_history", "_search"):
        raise Unsupported("History and search are offered by type.", hint="Name a resource type, and for a history the id.")
    if len(parts) <= 4:
        raise WrongMethod(f"{method} is not offered at this address.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
    raise NotFound("There is nothing at this address.", hint="See the CapabilityStatement at /fhir/R4/metadata.")
