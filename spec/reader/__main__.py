"""`python -m spec.reader [section…]`: opens every vector, says what ended otherwise than it should, and ends with 1 then."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from spec.reader import (
    algorithms,
    audit,
    cards,
    certificates,
    encoding,
    files,
    glass,
    keyring,
    letters,
    offices,
    records,
    recovery,
    revocations,
    teams,
    tree,
    trust,
    unlocking,
)
from spec.reader.refused import Refused

VECTORS = Path(__file__).resolve().parents[2] / "docs" / "spec" / "vectors"
MODULES = (
    algorithms,
    audit,
    cards,
    certificates,
    encoding,
    files,
    glass,
    keyring,
    letters,
    offices,
    records,
    recovery,
    revocations,
    teams,
    tree,
    trust,
    unlocking,
)
FORMATS = {name: read for module in MODULES for name, read in module.FORMATS.items()}


def whole(value: Any, shared: dict[str, str]) -> Any:
    """What the cases share, put back into its place."""
    if isinstance(value, str):
        return shared[value] if value.startswith("@") else value
    if isinstance(value, dict):
        return {name: whole(one, shared) for name, one in value.items()}
    return [whole(one, shared) for one in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def ended(case: dict[str, Any]) -> tuple[str, Any]:
    read = FORMATS.get(case["format"])
    if read is None:
        return "the reader does not know this format", None
    try:
        return "success", plain(read(case["given"]))
    except Refused as refused:
        return refused.name, None


def main(wanted: list[str]) -> int:
    wrong = total = 0
    for file in sorted(VECTORS.glob("*.json")):
        if wanted and file.stem not in wanted:
            continue
        section = json.loads(file.read_text())
        for case in section["cases"]:
            case = whole(case, section["shared"])
            total += 1
            name, answer = ended(case)
            if (name, answer) != (case["expect"], case.get("gives")):
                wrong += 1
                print(f"{file.stem}: {case['format']}: {case['case']}: {name}, expected {case['expect']}")
                if name == "success" == case["expect"]:
                    print(f"  {answer}\n  {case['gives']}")
    print(f"{total} cases, {wrong} ended otherwise")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
