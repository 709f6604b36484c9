"""A small world of codes for the tests of terminology and profiles; no real table is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cloister.records.terminology import shelf
from cloister.records.terminology.library import Library
from cloister.records.terminology.pack import pack_of
from cloister.records.terminology.valuesets import ValueSets

Json = dict[str, Any]
ILLS: Final = "https://codes.example/ills"
WARDS: Final = "https://codes.example/wards"
SETS: Final = "https://codes.example/ValueSet/"

ILL_SYSTEM: Final[Json] = {
    "resourceType": "CodeSystem",
    "id": "ills",
    "url": ILLS,
    "version": "2",
    "title": "Maladies",
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "language": "fr",
    "hierarchyMeaning": "is-a",
    "valueSet": f"{SETS}whole-ills",
    "concept": [
        {
            "code": "A",
            "display": "Infections",
            "property": [{"code": "notSelectable", "valueBoolean": True}],
            "concept": [
                {
                    "code": "A1",
                    "display": "Grippe",
                    "definition": "Une infection.",
                    "designation": [{"language": "en", "value": "Influenza"}],
                    "property": [{"code": "season", "valueString": "winter"}],
                },
                {"code": "A2", "display": "Fièvre jaune", "concept": [{"code": "A21", "display": "Fièvre jaune urbaine"}]},
            ],
        },
        {"code": "B", "display": "Fractures", "property": [{"code": "inactive", "valueBoolean": True}]},
    ],
}
ENGLISH: Final[Json] = {
    "resourceType": "CodeSystem",
    "id": "ills-en",
    "url": "https://codes.example/ills-en",
    "status": "active",
    "content": "supplement",
    "supplements": ILLS,
    "language": "en",
    "concept": [{"code": "A2", "display": "Yellow fever"}],
}
WARD_SYSTEM: Final[Json] = {
    "resourceType": "CodeSystem",
    "url": WARDS,
    "status": "active",
    "content": "complete",
    "caseSensitive": False,
    "concept": [{"code": "MED", "display": "Médecine"}, {"code": "SURG", "display": "Chirurgie"}],
}


def value_set(name: str, *include: Json, exclude: Sequence[Json] = (), **more: Any) -> Json:
    compose: Json = {"include": list(include)}
    if exclude:
        compose["exclude"] = list(exclude)
    return {"resourceType": "ValueSet", "id": name, "url": SETS + name, "status": "active", "compose": compose, **more}


def filtered(property: str, op: str, value: str) -> Json:
    return {"system": ILLS, "filter": [{"property": property, "op": op, "value": value}]}


def sets_of(*resources: Json, base: bool = False) -> ValueSets:
    """A library of the small world and these resources; `base` puts it over the definitions of R4."""
    packs = [pack_of([ILL_SYSTEM, ENGLISH, WARD_SYSTEM, *resources], "cast")]
    return ValueSets(Library([*packs, *(shelf.library().packs if base else ())]))
