"""What anybody may know of the FHIR endpoint before signing in: its statements, its OpenAPI document, and its rows for a page.

Spec: http://hl7.org/fhir/R4/http.html#capabilities. The same for everybody, so it is made once.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from cloister.records.fhir.capability import statement
from cloister.records.fhir.exchange import BASE
from cloister.records.fhir.formats import IN_JSON, format_of
from cloister.records.fhir.offered import OFFERED
from cloister.records.fhir.openapi import openapi_document
from cloister.records.fhir.outcomes import NotAcceptable
from cloister.records.fhir.text import decode, encode
from cloister.records.fhir.xml_writing import to_xml


@dataclass(frozen=True, slots=True)
class InBoth:
    """One resource in both formats."""

    json: bytes
    xml: bytes


def capabilities(origin: str) -> InBoth:
    """The CapabilityStatement of the installation at this origin."""
    return in_both(encode(statement(f"{origin}{BASE}")))


def in_both(raw: bytes) -> InBoth:
    return InBoth(raw, to_xml(decode(raw)))


def wants_xml(request: Request) -> bool:
    """True for who asks for XML; who takes neither is given JSON, because a statement is where one learns what is served."""
    try:
        return format_of(request).xml
    except NotAcceptable:
        return IN_JSON.xml


def openapi(origin: str) -> bytes:
    return openapi_document(f"{origin}{BASE}")


def rows() -> list[dict[str, str]]:
    """What is offered, for a page: methods, address, the key of its sentence, the types that have it."""
    found = []
    for one in OFFERED:
        if one.path != "/":
            types = ", ".join([one.of] if one.of else one.types)
            found.append({"methods": " ".join(one.methods), "path": f"{BASE}{one.path}", "key": one.key.replace("_", "-"), "types": types})
    return found
