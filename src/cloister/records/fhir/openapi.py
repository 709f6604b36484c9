"""The offer as an OpenAPI document, from the same rows as the routes. Spec: https://spec.openapis.org/oas/v3.1.1.html.

It says which addresses there are and what is sent to them. What a resource holds, and by what each type is searched, FHIR
itself says better: the CapabilityStatement and the definitions of R4 are named, not repeated.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from cloister import __version__
from cloister.records.definitions import load
from cloister.records.fhir.formats import FHIR_JSON, FHIR_XML
from cloister.records.fhir.offered import OFFERED, Offered
from cloister.records.fhir.text import encode

ID: Final = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
NAMED: Final = re.compile(r"\{(\w+)\}")
SEARCHES: Final = frozenset({"search", "compartment", "update_where", "delete_where", "patch_where"})
TEXT: Final = {"type": "string"}
RESOURCE: Final = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": TEXT},
    "externalDocs": {"description": "The resources of FHIR R4", "url": "http://hl7.org/fhir/R4/resourcelist.html"},
}
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "id": {"name": "id", "in": "path", "required": True, "schema": ID},
    "version": {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "pattern": r"^[1-9][0-9]{0,8}$"}},
    "job": {"name": "job", "in": "path", "required": True, "description": "As the answer that began it says.", "schema": TEXT},
    "number": {"name": "number", "in": "path", "required": True, "schema": {"type": "string", "pattern": r"^[0-9]{1,6}$"}},
    "message": {"name": "message", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
    "prefer-async": {"name": "Prefer", "in": "header", "required": True, "schema": {"type": "string", "const": "respond-async"}},
    "format": {"name": "_format", "in": "query", "schema": {"type": "string", "enum": ["json", "xml", FHIR_JSON, FHIR_XML]}},
    "pretty": {"name": "_pretty", "in": "query", "schema": {"type": "boolean"}},
    "condition": {
        "name": "parameters",
        "in": "query",
        "description": "Search parameters of the type, as its CapabilityStatement lists them (http://hl7.org/fhir/R4/search.html).",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": TEXT},
    },
    "if-match": {"name": "If-Match", "in": "header", "schema": {"type": "string", "pattern": r'^W/"[1-9][0-9]{0,8}"$'}},
    "if-none-exist": {"name": "If-None-Exist", "in": "header", "schema": TEXT},
}
OUTCOME: Final = {"$ref": "#/components/responses/outcome"}
MALFORMED: Final = {"$ref": "#/components/responses/malformed"}


@functools.lru_cache(maxsize=4)
def openapi_document(base: str) -> bytes:
    """The document of the server at this base address."""
    return encode(document(base))


def document(base: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for one in OFFERED:
        if one.path == "/":  # the same as without the slash
            continue
        for path in _paths(one):
            place = paths.setdefault(path, {})
            for method in one.methods:
                place.setdefault(method.lower(), _operation(one, path, method))
    for path in [path for path in paths if path.split("/")[1] in load().types]:  # the more exact address hides the other one
        general = "/".join(["", "{type}", *path.split("/")[2:]])
        for method, operation in paths.get(general, {}).items():
            paths[path].setdefault(method, _of_one_type(operation, path))
    types = {"type": "string", "enum": list(load().types)}
    named = {"type": "resource type", "member": "type of what is searched in the patient's record"}
    by_type = {one: {"name": one, "in": "path", "required": True, "description": says, "schema": types} for one, says in named.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloister, FHIR R4",
            "version": __version__,
            "description": f"What each type offers and is searched by: {base}/metadata. The standard: http://hl7.org/fhir/R4/http.html.",
        },
        "servers": [{"url": base}],
        "security": [{"program": []}, {"ticket": []}],
        "paths": paths,
        "components": {
            "parameters": by_type | PARAMETERS,
            "schemas": {"resource": RESOURCE},
            "responses": {
                "outcome": {"description": "An OperationOutcome: what is wrong, where, and what to do.", "content": _resources()},
                "malformed": {
                    "description": "An OperationOutcome; plain text where the gateway refused the request before it had read the address.",
                    "content": _resources() | {"text/plain": {"schema": TEXT}},
                },
            },
            "securitySchemes": {
                "program": {
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": base.removesuffix("/fhir/R4") + "/oauth2/token", "scopes": {}}},
                },
                "ticket": {"type": "apiKey", "in": "cookie", "name": "__Host-ticket"},
            },
        },
    }


def _of_one_type(operation: dict[str, Any], path: str) -> dict[str, Any]:
    """What all types have, at the address of a type that has an address of its own."""
    parameters = [one for one in operation["parameters"] if one["$ref"] != "#/components/parameters/type"]
    return operation | {"operationId": f"{operation['operationId']}_of_{path.split('/')[1]}", "parameters": parameters}


def _paths(one: Offered) -> list[str]:
    """What only some types have stands at their own addresses."""
    return [one.path.replace("{type}", type) for type in one.types] or [one.path or "/"]


def _operation(one: Offered, path: str, method: str) -> dict[str, Any]:
    names = NAMED.findall(path)
    asked = ["format", "pretty"] if not one.any_format else []
    if one.key in SEARCHES or (one.operation and method == "GET"):
        asked.append("condition")
    if method in ("PUT", "PATCH", "DELETE"):
        asked.append("if-match")
    if one.key == "create":
        asked.append("if-none-exist")
    if one.key.startswith("export_of") or one.key == "import_begin":
        asked.append("prefer-async")
    found: dict[str, Any] = {
        "summary": one.says,
        "operationId": f"{method.lower()}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_') or 'base'}",
        "tags": [_tag(one)],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in (*names, *asked)],
        "responses": {**_responses(one, method), "400": MALFORMED},
    }
    if method in ("POST", "PUT", "PATCH"):
        found["requestBody"] = {"required": not one.operation, "content": _sent(one, method)}
    if one.canonical and one.operation and one.definition:
        found["externalDocs"] = {"url": one.canonical}
    return found


def _tag(one: Offered) -> str:
    if one.operation:
        return "operations"
    return {"GET": "reading", "POST": "writing", "PUT": "writing", "PATCH": "writing", "DELETE": "writing"}[one.methods[0]]


def _sent(one: Offered, method: str) -> dict[str, Any]:
    if one.key.endswith("_by_post"):
        return {"application/x-www-form-urlencoded": {"schema": {"type": "object", "additionalProperties": TEXT}}}
    if method == "PATCH":
        return {"application/json-patch+json": {"schema": {"type": "array", "items": {"type": "object"}}}, **_resources()}
    if one.key == "put":
        return {"application/octet-stream": {}}
    return _resources() | ({"*/*": {}} if one.of == "Binary" else {})


def _responses(one: Offered, method: str) -> dict[str, Any]:
    if one.key.startswith("export_of") or one.key == "import_begin":
        return {"202": {"description": "Begun; Content-Location says where to ask how far it is."}, "default": OUTCOME}
    if one.any_format and one.of != "Binary":
        return {"200": {"description": "As it is asked for.", "content": {"application/json": {}}}, "default": OUTCOME}
    done: dict[str, Any] = {
        "description": "Done.",
        "content": _resources() | ({"*/*": {}} if one.of == "Binary" and method == "GET" else {}),
    }
    found: dict[str, Any] = {"200": done, "default": OUTCOME}
    if method in ("POST", "PUT") and not one.operation and not one.key.endswith("_by_post"):
        found["201"] = done | {"description": "Made."}
    if method == "DELETE":
        found["204"] = {"description": "Deleted."}
    if method == "GET" and one.key in ("read", "binary_read"):
        found["304"] = {"description": "You have this version (If-None-Match, If-Modified-Since)."}
    return found


def _resources() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/resource"}
    return {FHIR_JSON: {"schema": schema}, FHIR_XML: {"schema": {"type": "string"}}}
