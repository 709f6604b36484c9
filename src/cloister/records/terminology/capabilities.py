"""TerminologyCapabilities: what is loaded, and what may be asked of it. http://hl7.org/fhir/R4/terminologycapabilities.html."""

from __future__ import annotations

from typing import Any, Final

from cloister import __version__
from cloister.records.fhir.text import encode
from cloister.records.terminology import shelf
from cloister.records.terminology.grammars import GRAMMARS
from cloister.records.terminology.library import Library

DATE: Final = "2026-11-29"
EXPANSION: Final = (
    "activeOnly", "count", "displayLanguage", "excludeNotForUI", "filter", "includeDefinition", "includeDesignations", "offset", "url",
    "valueSet", "valueSetVersion",
)  # fmt: skip


def terminology_statement() -> bytes:
    """The TerminologyCapabilities of what this process has loaded."""
    return encode(terminology_capabilities(shelf.library(), __version__))


def terminology_capabilities(library: Library, version: str) -> dict[str, Any]:
    """Each code system once, with its versions; those that are a grammar too."""
    systems: dict[str, list[dict[str, Any]]] = {address: [] for address in GRAMMARS}
    for entry in library.entries("CodeSystem"):
        if entry.note != "supplement":
            versions = systems.setdefault(entry.url, [])
            if entry.version and all(one["code"] != entry.version for one in versions):
                versions.append({"code": entry.version, "isDefault": False})
    for address, versions in systems.items():
        place = library.entry("CodeSystem", address)
        for one in versions:
            one["isDefault"] = place is not None and one["code"] == place[1].version
    return {
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Cloister", "version": version},
        "implementation": {"description": "A session of a Cloister trust"},
        "codeSystem": [
            {"uri": address, **({"version": versions} if versions else {}), "subsumption": address not in GRAMMARS}
            for address, versions in sorted(systems.items())
        ],
        "expansion": {"hierarchical": False, "paging": True, "incomplete": False, "parameter": [{"name": name} for name in EXPANSION]},
        "codeSearch": "all",
        "validateCode": {"translations": True},
        "translation": {"needsMap": True},
        "closure": {"translation": False},
    }
