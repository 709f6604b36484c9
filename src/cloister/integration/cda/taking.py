"""A document into the record: once for its id, a newer version in place of the older one, the bytes as they came. docs/integration.md.

One transaction: the patient where new, the bytes as Binary, a DocumentReference, the resources understood, a Provenance. A
resource that our validation refuses is left out and reported; the document itself is never refused for it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.clock import iso
from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.integration.cda.document import MEDIA, Document, read_document
from cloister.integration.hl7v2.context import Names
from cloister.integration.hl7v2.knowing import patient_of
from cloister.records import Records
from cloister.zones import algorithms

Json = dict[str, Any]
DIGEST: Final = "urn:cloister:cda:sha256"
VERSION: Final = "urn:cloister:cda:version"
AT: Final = re.compile(r"^Bundle\.entry\[(\d+)\]")
LEFT_OUT_MAX: Final = 200
OWN: Final = frozenset({"", "Patient", "Binary", "DocumentReference", "Provenance"})  # the document's own; the others are of its entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """`report`: what of the entries stays in the document only, and why."""

    reference: str
    patient: str
    again: bool
    resources: int
    report: tuple[Mapping[str, str], ...]


async def take_document(records: Records, body: bytes, *, zone: str | None = None, creates: bool = True) -> Kept:
    """Raises Invalid for what is no document, NotFound for a patient who may not be brought, Conflict for an older version."""
    document = read_document(body)
    names = Names(records.parking.name_key(zone))
    digest = algorithms.sha256(body).hex()
    found = await patient_of(records, document.identifiers)
    if found is None and not creates:
        raise NotFound("Nobody here has the identifier that the document names.", hint="Bring the patient first.", reason="patient-unknown")
    patient = str(found["id"]) if found is not None else names.id("Patient", document.identifiers[0])
    before = await _before(records, document, names)
    reference = f"DocumentReference/{names.id('cda-document', document.id)}"
    if before is not None and _extension(before, DIGEST) == digest:
        return Kept(reference=reference, patient=f"Patient/{patient}", again=True, resources=0, report=tuple(document.report.lines))
    _check_order(document, before, reference)
    older = await _older(records, before)
    entries = _entries(document, names, body, patient, found, older, digest, before, iso(records.clock()))
    count = await _write(records, document, entries, zone)
    return Kept(reference=reference, patient=f"Patient/{patient}", again=False, resources=count, report=tuple(document.report.lines))


async def _before(records: Records, document: Document, names: Names) -> Mapping[str, Any] | None:
    """The Provenance of the version of this document that is in the record."""
    reference = f"Provenance/{names.id('cda-set', document.set)}"
    stored = (await records.many([reference])).get(reference)
    return stored.resource if stored is not None else None


def _check_order(document: Document, before: Mapping[str, Any] | None, reference: str) -> None:
    if before is None:
        return
    version = int(_extension(before, VERSION) or 0)
    same = any(one.get("reference") == reference for one in before.get("target", ()))
    if same or document.version < version:
        text = "This document's id was used for another one." if same else "A newer version of this document is in the record."
        raise Conflict(text, hint="Send a new id and a higher versionNumber for a new version.", reason="cda-version")


async def _older(records: Records, before: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    targets = [
        str(one.get("reference")) for one in (before or {}).get("target", ()) if not str(one.get("reference")).startswith("Patient/")
    ]
    return {reference: stored.resource or {} for reference, stored in (await records.many(targets)).items()}


def _entries(
    document: Document,
    names: Names,
    body: bytes,
    patient: str,
    found: Mapping[str, Any] | None,
    older: Mapping[str, Mapping[str, Any]],
    digest: str,
    before: Mapping[str, Any] | None,
    now: str,
) -> list[Json]:
    subject = {"reference": f"Patient/{patient}"}
    made: dict[str, Json] = {}
    if found is None:
        made[f"Patient/{patient}"] = {**document.patient, "id": patient}
    contents = []
    for kind, media, data in (
        ("xml", MEDIA, body),
        *((("body", document.body["contentType"], document.body["data"]),) if document.body else ()),
    ):
        id = names.id("cda-binary", kind, document.id)
        made[f"Binary/{id}"] = {
            "resourceType": "Binary",
            "id": id,
            "contentType": media,
            "securityContext": subject,
            "data": base64.b64encode(data).decode(),
        }
        contents.append(
            {
                "attachment": {
                    "contentType": media,
                    "url": f"Binary/{id}",
                    "size": len(data),
                    "title": document.reference.get("description", "CDA"),
                }
            }
        )
    own = names.id("cda-document", document.id)
    former = [one for one in older if one.startswith("DocumentReference/") and older[one].get("status") == "current"]
    relates = [{"code": "replaces", "target": {"reference": one}} for one in former]
    made[f"DocumentReference/{own}"] = {
        **document.reference,
        "id": own,
        "subject": subject,
        "content": contents,
        **({"relatesTo": relates} if relates else {}),
    }
    for one in document.found:
        id = names.id("cda-entry", document.set, one.key)
        who = "patient" if one.resource["resourceType"] in ("AllergyIntolerance", "Immunization") else "subject"
        made[f"{one.resource['resourceType']}/{id}"] = {**one.resource, "id": id, who: subject}
    changed = {one: {**older[one], "status": "superseded"} for one in former if one not in made}
    gone = [one for one in older if one not in made and one.partition("/")[0] not in ("DocumentReference", "Binary")]
    provenance = _provenance(document, names, [*made], subject, digest, now)
    entries = [_put(one) for one in (*made.values(), *changed.values())]
    entries += [{"request": {"method": "DELETE", "url": one}} for one in gone]
    version = int((before or {}).get("meta", {}).get("versionId", 0))
    return [*entries, _put(provenance, version)]


def _put(resource: Json, version: int | None = None) -> Json:
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    return {"resource": resource, "request": request | ({"ifMatch": f'W/"{version}"'} if version is not None else {})}


def _provenance(document: Document, names: Names, made: list[str], subject: Json, digest: str, now: str) -> Json:
    return {
        "resourceType": "Provenance",
        "id": names.id("cda-set", document.set),
        "extension": [{"url": DIGEST, "valueString": digest}, {"url": VERSION, "valueString": str(document.version)}],
        "target": [subject, *({"reference": one} for one in made if one != subject["reference"])],
        "recorded": now,
        "activity": {"text": "CDA document"},
        "agent": [{"who": one} for one in document.reference.get("author", [])] or [{"who": {"display": "CDA"}}],
        "entity": [{"role": "source", "what": {"identifier": document.reference["masterIdentifier"]}}],
    }


async def _write(records: Records, document: Document, entries: list[Json], zone: str | None) -> int:
    """How many resources of entries went in. What is refused by itself is left out, one after the other."""
    for _ in range(LEFT_OUT_MAX):
        try:
            await records.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries}, zone=zone)
            return sum(1 for one in entries if one.get("resource", {}).get("resourceType", "") not in OWN)
        except Invalid as wrong:
            at = AT.match(wrong.expression)
            place = int(at[1]) if at else -1
            kind = entries[place].get("resource", {}).get("resourceType", "") if 0 <= place < len(entries) else ""
            if kind in OWN:
                raise
            left = entries.pop(place)["resource"]
            own = f"{kind}/{left['id']}"
            entries[-1]["resource"]["target"] = [one for one in entries[-1]["resource"]["target"] if one["reference"] != own]
            document.report.leave(kind, place, wrong.text[:200])
    raise Invalid("Too many entries of this document are refused.", hint="See the report of the first.", reason="cda-entries")


def _extension(resource: Mapping[str, Any], url: str) -> str:
    return next((str(one.get("valueString")) for one in resource.get("extension", ()) if one.get("url") == url), "")
