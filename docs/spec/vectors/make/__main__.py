"""Makes the vectors of docs/spec/zones.md: all, or the sections that are named.

    .venv/bin/python docs/spec/vectors/make             writes every docs/spec/vectors/<section>.json
    .venv/bin/python docs/spec/vectors/make grants      writes grants.json alone

To add a section: a file <section>.py beside this one with `def cases() -> list[dict]`, each made by `case(...)` of
`_cast`; a file tests/zones/formats/<section>.py whose `FORMATS` says how each format is opened; then run this with the
section's name and commit the three files. Give every format cases that are refused: cut short, swapped, wrong label,
wrong algorithm, another signer, non-canonical, replayed, out of bounds. `docs/spec/vectors/README.md` says how a case is read.

Keys and ids are fixed. Nonces, HPKE encapsulations and certificate serial numbers are random, so a second run
gives other ciphertexts of the same meaning: what is stored is opened and recomputed by the tests.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHARED_FROM = 100  # hex digits: longer texts that stand in several cases are written once


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


def plain(value: Any) -> Any:
    """Bytes as hex, all else as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    assert value is None or isinstance(value, str | int | bool), f"{type(value)} does not belong into a vector"
    assert not (isinstance(value, str) and value.startswith("@")), "texts that start with @ name a shared one"
    return value


def named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {name: named(inner, names) for name, inner in value.items()}
    return [named(inner, names) for inner in value] if isinstance(value, list) else value


def section(name: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
    found = [plain(one) for one in cases]
    assert len({one["case"] for one in found}) == len(found), f"{name}: two cases have one name"
    for format in {one["format"] for one in found}:
        assert any(one["expect"] == "success" for one in found if one["format"] == format), f"{format}: no case succeeds"
    counted = Counter(text for one in found for text in texts(one))
    shared = {text: f"@{place}" for place, text in enumerate(text for text, n in counted.items() if n > 1 and len(text) >= SHARED_FROM)}
    return {"section": name, "shared": {place: text for text, place in shared.items()}, "cases": named(found, shared)}


def main(wanted: list[str]) -> None:
    known = sorted(file.stem for file in HERE.glob("*.py") if not file.stem.startswith("_"))
    for name in wanted or known:
        if name not in known:
            sys.exit(f"error: there is no section {name}\nhint: the sections are {', '.join(known)}")
        cases = runpy.run_path(str(HERE / f"{name}.py"))["cases"]()
        (HERE.parent / f"{name}.json").write_text(json.dumps(section(name, cases), indent=1, ensure_ascii=False) + "\n")
        print(f"{name}: {len(cases)} cases")


if __name__ == "__main__":
    main(sys.argv[1:])
