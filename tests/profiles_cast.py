"""Profiles for the tests, written by us: a patient with slices, an observation, an extension; most of them differential-only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from terms_cast import ILL_SYSTEM, filtered, value_set

from cloister.records.loading import Loaded, packed, worked_out
from cloister.records.terminology import shelf

Json = dict[str, Any]
URL: Final = "https://profiles.example/StructureDefinition/"
FEVERS: Final = value_set("fevers", filtered("concept", "is-a", "A2"))
BY_SYSTEM: Final = {"discriminator": [{"type": "value", "path": "system"}], "rules": "closed", "ordered": True}


def profile(name: str, type: str, *elements: Json, base: str = "", **more: Any) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": URL + name,
        "name": name,
        "status": "active",
        "kind": "complex-type" if type == "Extension" else "resource",
        "abstract": False,
        "type": type,
        "baseDefinition": base or f"http://hl7.org/fhir/StructureDefinition/{type}",
        "derivation": "constraint",
        "differential": {"element": [{"id": type, "path": type}, *elements]},
        **more,
    }


def element(id: str, **rules: Any) -> Json:
    """The element of an id; its path and slice name follow from it."""
    made: Json = {"id": id, "path": ".".join(step.partition(":")[0] for step in id.split("."))}
    slice_name = id.rpartition(".")[2].partition(":")[2]
    return made | ({"sliceName": slice_name} if slice_name else {}) | rules


REQUIRED: Final = {"strength": "required", "valueSet": FEVERS["url"]}

BIRTH_TOWN: Final = profile(
    "birth-town",
    "Extension",
    element("Extension.extension", max="0"),
    element("Extension.url", fixedUri=f"{URL}birth-town"),
    element("Extension.value[x]", min=1, type=[{"code": "string"}], maxLength=20),
    context=[{"type": "element", "expression": "Patient"}],
)
CITIZEN: Final = profile(
    "citizen",
    "Patient",
    element("Patient.extension", slicing={"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}),
    element("Patient.extension:town", min=1, max="1", type=[{"code": "Extension", "profile": [f"{URL}birth-town"]}]),
    element("Patient.identifier", min=1, slicing=BY_SYSTEM),
    element("Patient.identifier:card", min=1, max="1"),
    element("Patient.identifier:card.system", min=1, fixedUri="urn:card"),
    element("Patient.identifier:card.value", min=1, maxLength=4),
    element("Patient.identifier:badge", max="1"),
    element("Patient.identifier:badge.system", min=1, fixedUri="urn:badge"),
    element("Patient.name", min=1, mustSupport=True),
    element("Patient.deceased[x]", type=[{"code": "boolean"}]),
    element("Patient.photo", max="0"),
    element(
        "Patient.generalPractitioner",
        type=[{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Practitioner"]}],
    ),
)
ADULT: Final = profile(
    "adult",
    "Patient",
    element(
        "Patient",
        constraint=[
            {
                "key": "adult-1",
                "severity": "error",
                "human": "An adult has a phone or an address.",
                "expression": "telecom.exists() or address.exists()",
            },
            {"key": "adult-2", "severity": "warning", "human": "A name is written out.", "expression": "name.all(family.length() > 1)"},
            {"key": "adult-3", "severity": "error", "human": "Needs a server.", "expression": "managingOrganization.resolve().exists()"},
        ],
    ),
    element("Patient.contact.name", min=1),
    element("Patient.contact.name.family", min=1),
    base=f"{URL}citizen",
)
ILL: Final = profile(
    "ill",
    "Observation",
    element("Observation.status", patternCode="final"),
    element("Observation.code", patternCodeableConcept={"coding": [{"system": "http://loinc.org", "code": "29308-4"}]}),
    element(
        "Observation.value[x]",
        min=1,
        type=[{"code": "CodeableConcept"}, {"code": "Quantity"}],
        binding={"strength": "required", "valueSet": FEVERS["url"]},
    ),
    element("Observation.category", slicing={"discriminator": [{"type": "pattern", "path": "$this"}], "rules": "open"}),
    element("Observation.category:exam", min=1, max="1", patternCodeableConcept={"coding": [{"code": "exam"}]}),
    element("Observation.component", slicing={"discriminator": [{"type": "exists", "path": "interpretation"}], "rules": "openAtEnd"}),
    element("Observation.component:plain", max="1"),
    element("Observation.component:plain.interpretation", max="0"),
)
ALL: Final = (BIRTH_TOWN, CITIZEN, ADULT, ILL)


_folders: Final[list[Path]] = []


@contextmanager
def loaded(folder: Path, *definitions: Json) -> Iterator[Loaded]:
    """These definitions in the library of this process, as `cloister terminology load` leaves them; afterwards what was there before."""
    given = Loaded()
    for one in definitions or (ILL_SYSTEM, FEVERS, *ALL):
        given.take("cast", one)
    worked_out(given, shelf.library())
    (folder / "cast.pack").write_bytes(packed(given.resources.values()))
    _folders.append(folder)
    try:
        shelf.refresh(folder)
        yield given
    finally:
        _folders.remove(folder)
        shelf.refresh(_folders[-1] if _folders else None)
