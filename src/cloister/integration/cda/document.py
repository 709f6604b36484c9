"""A CDA document as the resources that keep it: who it is about, the original bytes, and what was understood. Pure.

HL7 CDA R2 4.2; C-CDA on FHIR; http://hl7.org/fhir/R4/documentreference.html.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.integration.cda import datatypes
from cloister.integration.cda.entries import Found, Report, of_sections
from cloister.integration.cda.tree import Node, read_tree

Json = dict[str, Any]
MEDIA: Final = "text/xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What the header says; `found` are resources without id and subject."""

    id: str  # root|extension
    set: str  # of all its versions; the id where there is none
    version: int
    replaces: str  # the id of the document that this one takes the place of, or nothing
    identifiers: tuple[str, ...]  # of the patient, as system|value
    patient: Json
    reference: Json  # a DocumentReference without id, subject and content
    body: Json | None  # of a document of level 1: {contentType, data}
    found: tuple[Found, ...]
    report: Report


def read_document(body: bytes) -> Document:
    """Raises Invalid for what is no CDA document, or names no patient or no id."""
    root = read_tree(body)
    id = datatypes.key_of(root.one("id"))
    if not id:
        raise Invalid("The document has no id.", hint="Send ClinicalDocument/id.", reason="cda-id")
    patients = [one for one in map(datatypes.identifier, root.all("recordTarget/patientRole/id")) if one]
    if not patients:
        raise Invalid("The document says of nobody whom it is about.", hint="Send recordTarget/patientRole/id.", reason="cda-patient")
    version = root.one("versionNumber").get("value")
    replaced = [one for one in root.all("relatedDocument") if one.get("typeCode") == "RPLC"]
    report = Report()
    structured = root.one("component/structuredBody")
    return Document(
        id=id,
        set=datatypes.key_of(root.one("setId")) or id,
        version=int(version) if version.isdigit() and len(version) < 10 else 1,
        replaces=datatypes.key_of(replaced[0].one("parentDocument/id")) if replaced else "",
        identifiers=tuple(f"{one['system']}|{one['value']}" for one in patients),
        patient=_patient(root.one("recordTarget/patientRole"), patients),
        reference=_reference(root),
        body=_body(root.one("component/nonXMLBody/text")),
        found=tuple(of_sections(structured, report)),
        report=report,
    )


def _patient(role: Node, identifiers: list[Json]) -> Json:
    person = role.one("patient")
    return _whole(
        {
            "resourceType": "Patient",
            "identifier": [one for one in identifiers if not _ins(one)],
            "active": True,
            "name": [{"use": "official", **one} for node in person.all("name")[:1] if (one := datatypes.human_name(node))],
            "telecom": [one for node in role.all("telecom") if (one := datatypes.telecom(node))],
            "gender": datatypes.GENDERS.get(person.one("administrativeGenderCode").get("code"), ""),
            "birthDate": datatypes.moment(person.one("birthTime").get("value"))[:10],
            "address": [one for node in role.all("addr") if (one := datatypes.address(node))],
        }
    )


def _ins(identifier: Json) -> bool:
    """A national number is not taken from a document: it says nothing of whether the identity is qualified."""
    return str(identifier["system"]).startswith("urn:oid:1.2.250.1.213.1.4.")


def _reference(root: Node) -> Json:
    author = root.one("author/assignedAuthor")
    shown = datatypes.shown_name(author.one("assignedPerson/name")) or author.one("assignedAuthoringDevice/softwareName").text
    custodian = root.one("custodian/assignedCustodian/representedCustodianOrganization")
    stay = root.one("componentOf/encompassingEncounter")
    context = _whole(
        {
            "period": datatypes.period(stay.one("effectiveTime") or root.one("documentationOf/serviceEvent/effectiveTime")),
            "facilityType": datatypes.concept(stay.one("location/healthCareFacility/code")),
            "related": [{"identifier": one} for node in stay.all("id") if (one := datatypes.identifier(node))],
        }
    )
    return _whole(
        {
            "resourceType": "DocumentReference",
            "masterIdentifier": datatypes.identifier(root.one("id")),
            "identifier": [one for one in (datatypes.identifier(root.one("setId")),) if one],
            "status": "current",
            "docStatus": "final",
            "type": datatypes.concept(root.one("code")),
            "date": _instant(datatypes.when(root.one("effectiveTime"))),
            "author": [{"display": shown}] if shown else [],
            "custodian": {"display": custodian.one("name").text} if custodian.one("name").text else None,
            "description": root.one("title").text,
            "securityLabel": [one for node in root.all("confidentialityCode") if (one := datatypes.concept(node))],
            "context": context,
        }
    )


def _instant(text: str) -> str:
    return text if len(text) > 10 else f"{text}T00:00:00Z" if len(text) == 10 else ""


def _body(text: Node) -> Json | None:
    """nonXMLBody of level 1: a PDF in Base64, most often."""
    if not text or text.get("representation") != "B64":
        return None
    try:
        data = base64.b64decode("".join(text.own_text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("The document's body is no Base64.", hint="Encode it anew.", reason="cda-body") from None
    return {"contentType": text.get("mediaType") or "application/pdf", "data": data}


def _whole(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}
