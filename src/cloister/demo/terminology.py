"""The codes that the generated records use, as code systems: fragments of LOINC, ICD-10 and ATC with the words of the demo.

Fragments (CodeSystem.content): what is not here may exist all the same. Sources and licences: docs/data-sources.md. A trust loads
the whole tables itself (`cloister terminology load`), and the whole goes before the fragment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloister.demo.generator import codes
from cloister.demo.generator.medication import ALLERGENS, DRUGS

LOINC_NOTICE: Final = (
    "This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, Inc. and the LOINC "
    "Committee and is available at no cost under the license at http://loinc.org/license."
)
WHO_NOTICE: Final = "Codes of the World Health Organization; labels shortened for demonstration only."


def code_systems() -> list[dict[str, Any]]:
    """CodeSystem resources, FHIR R4."""
    measures = [one for one in vars(codes).values() if isinstance(one, codes.Measure)] + list(codes.LABS.values())
    panels = [one for one in vars(codes).values() if _is_loinc(one)] + [one for one in codes.NOTE_KINDS.values() if _is_loinc(one)]
    names = {one.code: (one.display, one.text) for one in measures}
    names |= {one["coding"][0]["code"]: (one["coding"][0]["display"], one["text"]) for one in panels}
    groups = {group: text for text, group, *_ in ALLERGENS if group}
    return [
        _fragment("loinc", codes.LOINC, "LOINC", "en", LOINC_NOTICE, {code: name for code, (name, _) in names.items()})
        | {"concept": [_named(code, name, french) for code, (name, french) in sorted(names.items())]},
        _fragment("icd-10", codes.ICD10, "CIM-10", "fr", WHO_NOTICE, codes.DIAGNOSES),
        _fragment("atc", codes.ATC, "ATC", "fr", WHO_NOTICE, groups | {drug.atc: drug.name for drug in DRUGS.values()}),
    ]


def _is_loinc(value: Any) -> bool:
    return isinstance(value, dict) and "coding" in value and bool(value["coding"][0].get("system") == codes.LOINC)


def _named(code: str, display: str, french: str) -> dict[str, Any]:
    return {"code": code, "display": display, "designation": [{"language": "fr", "value": french}]}


def _fragment(id: str, url: str, title: str, language: str, notice: str, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "CodeSystem",
        "id": id,
        "url": url,
        "title": f"{title} (demo)",
        "status": "active",
        "content": "fragment",
        "caseSensitive": True,
        "language": language,
        "copyright": notice,
        "concept": [{"code": code, "display": name} for code, name in sorted(names.items())],
    }
