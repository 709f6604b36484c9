"""$validate: whether a resource would be accepted, without writing it. http://hl7.org/fhir/R4/resource-operation-validate.html.

By type (POST Type/$validate) or by id (POST Type/id/$validate, and GET for what is stored), with the resource as the
body or in Parameters. `mode` create, update or delete rehearses the write as this session: policy, place, version. `profile`
names one to check by, beside those that the resource claims; loaded ones, and those in the registers of this session. The answer
is an OperationOutcome with status 200, also where it lists errors.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from cloister.base.errors import CloisterError, Invalid, NotFound
from cloister.records.fhir.exchange import Exchange, json_response
from cloister.records.fhir.outcomes import issue as issue_of
from cloister.records.fhir.outcomes import not_here, outcome, outcome_of
from cloister.records.fhir.text import encode
from cloister.records.interactions.parameters import sent, single
from cloister.records.interactions.target import check_type
from cloister.records.loading.profiles import KIND, worked_out
from cloister.records.loading.reading import Loaded
from cloister.records.profiles import applying
from cloister.records.registered import registered
from cloister.records.stored import DELETED
from cloister.records.terminology import shelf
from cloister.records.terminology.library import Library
from cloister.records.terminology.pack import pack_of
from cloister.records.terminology.valuesets import ValueSets
from cloister.records.validation import InvalidResource, Issue, issues_of
from cloister.records.validation.issues import ISSUES_MAX
from cloister.records.validation.issues import issue_of as placed

MODES: Final = ("create", "update", "delete")
BASE_PROFILE: Final = "http://hl7.org/fhir/StructureDefinition/"


async def validate(exchange: Exchange) -> Response:
    type, id = exchange.path["type"], exchange.path.get("id")
    asked = await sent(exchange)
    found = asked.of("mode", "profile")
    mode, profile = single(found, "mode"), single(found, "profile")
    if mode is not None and mode not in MODES:
        raise Invalid("'mode' takes create, update or delete.", hint="Leave it out to check the resource alone.", expression="mode")
    resource = asked.resources.get("resource")
    if resource is None and mode != "delete":
        resource = await _stored(exchange, type, id)
    if resource is not None:
        check_type(resource, type)
        if id is not None and resource.get("id", id) != id:
            raise Invalid("The id in the body is not the id in the address.", hint="Send the same.", expression=f"{type}.id")
    return json_response(encode(await _answer(exchange, type, id, resource, mode, profile)))


async def _stored(exchange: Exchange, type: str, id: str | None) -> dict[str, Any] | None:
    """Without a resource in the request, the one that is stored is checked (the standard's GET on an instance)."""
    if id is None:
        raise Invalid("There is no resource to check.", hint="POST it as the body, or as the parameter 'resource'.", expression="resource")
    try:
        return (await exchange.records.read(type, id)).resource
    except NotFound as absent:
        if absent.reason == DELETED:
            raise
        raise not_here(type, id) from None


async def _answer(
    exchange: Exchange, type: str, id: str | None, resource: dict[str, Any] | None, mode: str | None, profile: str | None
) -> dict[str, Any]:
    told: list[Issue] = []
    if resource is not None:
        told = issues_of(resource) or await _by_profiles(exchange, resource, profile)
        if any(one.severity == "error" for one in told):
            return outcome_of(InvalidResource(told))
    if mode is not None:
        if mode != "create" and id is None:
            id = resource.get("id") if resource is not None else None
            if not isinstance(id, str):
                raise Invalid(f"'{mode}' is about a resource that has an id.", hint=f"POST to {type}/[id]/$validate.", expression="mode")
        try:
            await exchange.records.rehearse(type, id, resource, mode, if_match=exchange.if_match, zone=exchange.zone)
        except CloisterError as refused:
            if refused.category in ("busy", "unavailable", "corrupt"):
                raise
            return outcome_of(refused)
    text = "No fault was found." if mode is None else f"No fault was found; '{mode}' would be accepted."
    warnings = outcome_of(InvalidResource(told))["issue"] if told else []
    return outcome([*warnings, issue_of("information", "informational", text)])


async def _by_profiles(exchange: Exchange, resource: dict[str, Any], profile: str | None) -> list[Issue]:
    """What is wrong, or may be, by the profiles that the resource claims and the one that is asked for."""
    addresses = list(dict.fromkeys([*applying.claims(resource), *([profile] if profile else [])]))
    value_sets = await _with_registered(exchange, addresses)
    type = resource["resourceType"]
    return [placed(type, one) for one in applying.faults_by(value_sets, resource, addresses, warn=True)[:ISSUES_MAX]]


async def _with_registered(exchange: Exchange, addresses: list[str]) -> ValueSets:
    """What is loaded, and the profiles among these that lie in a register of this session."""
    loaded = Loaded()
    for address in addresses:
        if not shelf.library().has(KIND, address) and not address.startswith(BASE_PROFILE):
            found = await registered(exchange.records, KIND, address)
            if found is not None:
                loaded.take(address, found)
    worked_out(loaded, shelf.library())
    if not loaded.resources:
        return shelf.value_sets()
    return ValueSets(Library([pack_of(loaded.resources.values(), "register")], below=shelf.library()))
