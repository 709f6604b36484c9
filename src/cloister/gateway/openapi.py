"""What the door offers as an OpenAPI document, from the same rows as its routes, and the catalogue that names the documents.

Spec: https://spec.openapis.org/oas/v3.1.1.html, RFC 9727 and RFC 9264 (api-catalog), RFC 8631 (service-desc).
"""

from __future__ import annotations

import re
from typing import Any, Final

from cloister import __version__
from cloister.gateway.offered import CATALOG, DESCRIBED, FHIR, JSON, OFFERED, TEXT, Answer, Offered
from cloister.gateway.shapes import SHAPES

Json = dict[str, Any]

MALFORMED: Final = "Refused by the gateway before it had read the address, or in the form of this call."
PROOF: Final[Json] = {
    "name": "DPoP",
    "in": "header",
    "description": "A proof by the browser's key for this method and address; its nonce is the flow, or the word, that is sent (RFC 9449).",
    "schema": {"type": "string", "pattern": r"^[A-Za-z0-9_=.-]+$"},
}
PROFILE: Final = "https://www.rfc-editor.org/info/rfc9727"
LINK: Final = f'<{CATALOG}>; rel="api-catalog"'  # RFC 9727 2
DESCRIPTION: Final = (
    "Where people and programs prove themselves and get a session. Programs and apps use OAuth 2; the rest is what the pages of sign-in "
    "use, and may be used by a command line in the same way. Records: the FHIR endpoint's own document."
)


def document(base_url: str) -> Json:
    """The document of the door at this address."""
    paths: dict[str, Json] = {}
    for one in OFFERED:
        for method in one.methods:
            paths.setdefault(template(one.path), {})[method.lower()] = _operation(one, method)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cloister, the door", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": base_url}],
        "security": [],
        "paths": paths,
        "components": {"schemas": SHAPES, "parameters": {"proof": PROOF}},
    }


def catalog(base_url: str) -> Json:
    """RFC 9727 4: which interfaces there are, and what describes each."""

    def described(anchor: str, description: str, meta: str) -> Json:
        return {
            "anchor": f"{base_url}{anchor}",
            "service-desc": [{"href": f"{base_url}{description}", "type": JSON}],
            "service-meta": [{"href": f"{base_url}{meta}", "type": JSON}],
        }

    return {
        "linkset": [
            described("/login", DESCRIBED, "/.well-known/openid-configuration"),
            described(FHIR, f"{FHIR}/openapi.json", f"{FHIR}/metadata"),
        ]
    }


def template(path: str) -> str:
    """`{name:path}` of Starlette is `{name}` of OpenAPI."""
    return re.sub(r"\{(\w+):path\}", r"{\1}", path)


def _operation(one: Offered, method: str) -> Json:
    found: Json = {
        "operationId": one.key if len(one.methods) == 1 else f"{one.key}_by_{method.lower()}",
        "summary": one.says,
        "tags": [one.tag],
        "parameters": [*_parameters(one, method)],
        "responses": _responses(one),
    }
    if method == "POST" and one.sent:
        found["requestBody"] = {"required": True, "content": {one.media: {"schema": _named(one.sent)}}}
    return found


def _parameters(one: Offered, method: str) -> list[Json]:
    inside = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)", one.path)
    ]
    asked = [{"name": name, "in": "query", "schema": schema} for name, schema in one.asked.items() if method == "GET"]
    headers = [{"name": name, "in": "header", "required": name in one.needs, "schema": schema} for name, schema in one.headers.items()]
    return [*inside, *asked, *headers, *([{"$ref": "#/components/parameters/proof"}] if one.bound else [])]


def _responses(one: Offered) -> Json:
    found = {status: _answer(answer) for status, answer in one.answers.items()}
    malformed = found.setdefault("400", {"description": MALFORMED})
    malformed["content"] = {TEXT: {"schema": {"type": "string"}}, JSON: {"schema": _named("refusal")}, **malformed.get("content", {})}
    return found


def _answer(answer: Answer) -> Json:
    found: Json = {"description": answer.says}
    if answer.media:
        shape = _named(answer.shape) if answer.shape else {"type": "string"} if answer.media.startswith("text/") else {}
        found["content"] = {answer.media: {"schema": shape}}
    if answer.headers:
        found["headers"] = {name: {"required": True, "schema": {"type": "string"}} for name in answer.headers}
    return found


def _named(shape: str) -> Json:
    return {"$ref": f"#/components/schemas/{shape}"}
