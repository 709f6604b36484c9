"""The summary as a document Bundle: Composition, patient, sections, all that they point at. Pure. IPS STU 1.1, Bundle (IPS); FHIR R4 3.3.

Every reference of the document leads to an entry of it; what leads elsewhere keeps its words and loses its address.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cloister.integration.summary import narrative
from cloister.integration.summary.sections import SECTIONS, Section, nothing

Json = dict[str, Any]
LOINC: Final = "http://loinc.org"
PROFILE: Final = "http://hl7.org/fhir/uv/ips/StructureDefinition"
EMPTY: Final = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
NAMED: Final = frozenset({"Practitioner", "PractitionerRole", "Organization", "Medication", "Device", "Specimen"})  # brought along


def chosen(section: Section, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The newest of what belongs into a section."""
    own = [one for type in section.types for one in found.get(type, ()) if section.belongs(one)]
    return own[: section.most]


def pointed(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """References to people, organizations and things that a reader needs: those are brought along where this session may open them."""
    found = {str(holder["reference"]): None for one in resources for holder in _references(one) if "reference" in holder}
    return [one for one in found if one.partition("/")[0] in NAMED and one.count("/") == 1]


def summary(
    patient: Mapping[str, Any],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    along: Mapping[str, Mapping[str, Any]],
    *,
    base: str,
    language: str,
    id: str,
    ids: Iterator[str],
    now: str,
) -> Json:
    """`found`: the patient's resources by type, newest first; `along`: by reference; `ids`: fresh ones."""
    say = narrative.words()[language]
    own = f"Patient/{patient['id']}"
    author: Json = {"resourceType": "Device", "id": next(ids), "deviceName": [{"name": "Cloister", "type": "manufacturer-name"}]}
    entries: dict[str, Json] = {own: copy.deepcopy(dict(patient)), f"Device/{author['id']}": author}
    sections: list[Json] = []
    for section in SECTIONS:
        several = [copy.deepcopy(dict(one)) for one in chosen(section, found)]
        if not several and not section.required:
            continue
        text = narrative.table(several, language) if several else narrative.sentence(say["no-information"], language)
        if not several:
            several = [nothing(section, next(ids), own, say["no-information"])]
        for one in several:
            entries[f"{one['resourceType']}/{one['id']}"] = one
        sections.append(_section(section, say[section.name], text, several))
    entries |= {reference: copy.deepcopy(dict(one)) for reference, one in along.items()}
    composition: Json = {
        "resourceType": "Composition",
        "id": next(ids),
        "language": language,
        "status": "final",
        "type": {"coding": [{"system": LOINC, "code": "60591-5", "display": "Patient summary Document"}]},
        "subject": {"reference": own},
        "date": now,
        "author": [{"reference": f"Device/{author['id']}", "display": "Cloister"}],
        "title": say["title"],
        "section": sections,
    }
    entries = {f"Composition/{composition['id']}": composition, **entries}
    for resource in entries.values():
        _close(resource, entries, base)
    return {
        "resourceType": "Bundle",
        "language": language,
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{id}"},
        "type": "document",
        "timestamp": now,
        "entry": [{"fullUrl": f"{base}/{reference}", "resource": resource} for reference, resource in entries.items()],
    }


def _section(section: Section, title: str, text: dict[str, str], several: Sequence[Json]) -> Json:
    return {
        "title": title,
        "code": {"coding": [{"system": LOINC, "code": section.code}]},
        "text": text,
        "entry": [{"reference": f"{one['resourceType']}/{one['id']}"} for one in several],
    }


def _references(value: Any) -> Iterator[Json]:
    if isinstance(value, Mapping):
        if isinstance(value.get("reference"), str):
            yield value  # type: ignore[misc]
        for name, part in value.items():
            if name != "contained":
                yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _close(resource: Json, entries: Mapping[str, Json], base: str) -> None:
    """No address leads out of the document, nor tells of what was left out of it."""
    for holder in _references(resource):
        reference = holder["reference"].removeprefix(f"{base}/").partition("/_history/")[0]
        if reference.startswith("#"):
            continue
        if reference in entries:
            holder["reference"] = reference
            continue
        kind = reference.partition("/")[0]
        del holder["reference"]
        if not holder.get("display") and not holder.get("identifier"):
            holder["display"] = kind if kind.isalpha() and len(kind) < 40 else "?"
