"""The CapabilityStatement: what is really offered, from the same rows as the routes. Spec: http://hl7.org/fhir/R4/capabilitystatement.html."""

from __future__ import annotations

import functools
from typing import Any, Final

from cloister import __version__
from cloister.records.definitions import load, search_parameters
from cloister.records.fhir.formats import FHIR_JSON, FHIR_XML
from cloister.records.fhir.offered import Offered, of_system, of_type
from cloister.records.fhir.text import encode
from cloister.records.search import Kind, Parameter, parameters

DATE: Final = "2026-11-29"
PROFILE: Final = "http://hl7.org/fhir/StructureDefinition/"
SEARCH_PARAMETER: Final = "http://hl7.org/fhir/SearchParameter/"
ASIDE: Final = frozenset({"_id", "_lastUpdated", "_text", "_content", "near"})  # searched, and not by an expression
LINKS: Final = ("_has", "_list", "_filter")  # no search parameters by the definitions, and searched by
PATCH_FORMATS: Final = ("application/json-patch+json", FHIR_JSON, FHIR_XML)
SMART: Final = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
SIGN_IN: Final = "OAuth 2 client credentials for programs; passkey, card or passphrase for people."


@functools.cache
def capability_statement() -> bytes:
    """Of a session, the same for everybody (http.html#capabilities)."""
    return encode(statement())


def statement(url: str = "") -> dict[str, Any]:
    """`url`: the base address of this installation, where it is known."""
    implementation = {"description": "Cloister", "url": url} if url else {"description": "A session of a Cloister trust"}
    whole, defined = of_system(), search_parameters()
    return {
        "resourceType": "CapabilityStatement",
        "name": "Cloister",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Cloister", "version": __version__},
        "implementation": implementation,
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, FHIR_XML, "json", "xml"],
        "patchFormat": list(PATCH_FORMATS),
        "rest": [
            {
                "mode": "server",
                "security": {"cors": True, "service": [{"coding": [SMART]}], "description": SIGN_IN},
                "resource": [_of_type(type, defined[type]) for type in load().types],
                "interaction": [{"code": code} for code in _codes(whole) if code != "capabilities"],
                **_operations([one for one in whole if one.definition]),
                "compartment": ["http://hl7.org/fhir/CompartmentDefinition/patient"],
            }
        ],
    }


def _of_type(type: str, defined: dict[str, str]) -> dict[str, Any]:
    rows = of_type(type)
    keys = {one.key for one in rows}
    offered = [one for one in parameters(type).values() if searched(one)]
    return {
        "type": type,
        "profile": PROFILE + type,
        "interaction": [{"code": code} for code in _codes(rows)],
        "versioning": "versioned",
        "readHistory": "vread" in keys,
        "updateCreate": "update" in keys,
        "conditionalCreate": "create" in keys,
        "conditionalRead": "full-support",
        "conditionalUpdate": "update_where" in keys,
        "conditionalDelete": "single" if "delete_where" in keys else "not-supported",
        "referencePolicy": ["literal", "logical", "local"],
        **_listed("searchInclude", [f"{type}:{one.code}" for one in offered if one.kind is Kind.REFERENCE]),
        **_listed("searchRevInclude", _pointing_at()[type]),
        "searchParam": [
            *(_parameter(one, defined) for one in sorted(offered, key=lambda one: one.code)),
            *({"name": name, "type": "special"} for name in LINKS),
        ],
        **_operations([one for one in rows if one.definition]),
    }


def _parameter(one: Parameter, defined: dict[str, str]) -> dict[str, Any]:
    return {"name": one.code, "definition": SEARCH_PARAMETER + defined[one.code], "type": str(one.kind)}


def searched(known: Parameter) -> bool:
    """True for a parameter by which one may really search."""
    return bool(known.places or known.parts) or known.code in ASIDE


def _codes(rows: list[Offered]) -> list[str]:
    return list(dict.fromkeys(one.code for one in rows if one.code))


def _operations(rows: list[Offered]) -> dict[str, Any]:
    found = {one.operation: {"name": one.operation, "definition": one.canonical} for one in rows}
    return _listed("operation", list(found.values()))


def _listed(name: str, values: list[Any]) -> dict[str, Any]:
    """A list as an element; an empty one is none."""
    return {name: values} if values else {}


@functools.cache
def _pointing_at() -> dict[str, list[str]]:
    """By type, the reference parameters that may point at it by name (`_revinclude`)."""
    found: dict[str, list[str]] = {type: [] for type in load().types}
    for type in load().types:
        for one in parameters(type).values():
            if one.kind is Kind.REFERENCE and one.places:
                for target in [one.only.rstrip("/")] if one.only else one.targets:
                    found[target].append(f"{type}:{one.code}")
    return found
