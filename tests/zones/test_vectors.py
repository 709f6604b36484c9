"""The vectors of docs/spec/zones.md, opened and recomputed. They were stored once: a change of a format fails here.

`formats/<section>.py` says how each format of a section is opened: `FORMATS = {format: function of what is given}`.
A function answers what the case gives (bytes or hex), or raises the refusal that it expects.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cloister.base.errors import CloisterError
from cloister.zones import Refusal

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "spec" / "vectors"
FORMATS = Path(__file__).parent / "formats"
SECTIONS = sorted(file.stem for file in FOLDER.glob("*.json"))


@cache
def formats(section: str) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    sys.path.insert(0, str(FORMATS))  # so that one section's file may use another's
    try:
        found: dict[str, Any] = runpy.run_path(str(FORMATS / f"{section}.py"))
    finally:
        sys.path.remove(str(FORMATS))
    return found["FORMATS"]


def loaded(section: str) -> list[dict[str, Any]]:
    """The cases, with what they share put back into its place."""
    body = json.loads((FOLDER / f"{section}.json").read_text())

    def whole(value: Any) -> Any:
        if isinstance(value, str):
            return body["shared"][value] if value.startswith("@") else value
        if isinstance(value, dict):
            return {name: whole(inner) for name, inner in value.items()}
        return [whole(inner) for inner in value] if isinstance(value, list) else value

    return [whole(one) for one in body["cases"]]


def plain(value: Any) -> Any:
    """As JSON has it: bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("section", SECTIONS)
def test_every_case_of_a_section_ends_as_it_says(section: str) -> None:
    wrong = []
    for one in loaded(section):
        try:
            answer, ended = plain(formats(section)[one["format"]](one["given"])), "success"
        except CloisterError as refused:
            answer, ended = None, refused.reason
        if ended != one["expect"] or answer != one.get("gives"):
            wrong.append(f"{one['format']}: {one['case']}: {ended} {answer}, expected {one['expect']} {one.get('gives')}")
    assert not wrong, "\n".join(wrong)


def test_each_format_has_cases_that_open_and_cases_that_are_refused() -> None:
    ends: dict[str, set[bool]] = {}
    for section in SECTIONS:
        for one in loaded(section):
            ends.setdefault(one["format"], set()).add(one["expect"] == "success")
    only_computed = {"hkdf", "mac", "hpke-public", "sign", "tree-root", "parts-root"}  # nothing to refuse: they only compute
    assert {name for name, found in ends.items() if found != {True, False}} <= only_computed


def test_every_section_has_its_maker_and_its_formats() -> None:
    makers = {file.stem for file in (FOLDER / "make").glob("*.py") if not file.stem.startswith("_")}
    assert set(SECTIONS) == makers == {file.stem for file in FORMATS.glob("*.py")}


def test_the_written_format_names_every_refusal() -> None:
    text = (FOLDER.parent / "zones.md").read_text()
    assert [one.value for one in Refusal if f"`{one.value}`" not in text] == []


def test_every_refusal_of_stored_bytes_has_a_vector() -> None:
    seen = {one["expect"] for section in SECTIONS for one in loaded(section)}
    seen |= {name for section in SECTIONS for one in loaded(section) for _, name in (one.get("gives") or {}).get("refused", ())}
    of_sessions = {Refusal.CLOSED}  # says that keys were put away, not what bytes are
    assert {one.value for one in Refusal} - seen == {one.value for one in of_sessions}


def test_the_written_format_shows_the_same_bytes_as_the_vectors() -> None:
    text = "".join((FOLDER.parent / "zones.md").read_text().split())
    first = {(section, one["format"]): one for section in SECTIONS for one in reversed(loaded(section))}
    passphrase = first["unlockers", "passphrase"]["gives"]
    shown = [
        first["encoding", "cbor"]["given"]["bytes"],
        first["encoding", "packed"]["gives"]["out"],
        first["envelope", "envelope"]["given"]["blob"][:100],
        passphrase["kek"],
        passphrase["verifier"],
        first["unlockers", "passkey"]["gives"]["salt"],
    ]
    assert [one for one in shown if one not in text] == []
