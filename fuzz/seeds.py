"""The corpus: every bytes and text of the vectors, sorted by what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cloister.zones import envelope
from cloister.zones.cbor import decoded
from cloister.zones.refusals import Forged

VECTORS = Path(__file__).resolve().parents[1] / "docs" / "spec" / "vectors"


def _whole(value: Any, shared: dict[str, str]) -> Any:
    if isinstance(value, str):
        return shared[value] if value.startswith("@") else value
    if isinstance(value, dict):
        return {name: _whole(inner, shared) for name, inner in value.items()}
    return [_whole(inner, shared) for inner in value] if isinstance(value, list) else value


@cache
def cases() -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for file in sorted(VECTORS.glob("*.json")):
        body = json.loads(file.read_text())
        found += [_whole(one, body["shared"]) for one in body["cases"]]
    return tuple(found)


def given(format: str, name: str | None = None) -> list[Any]:
    """What the cases of a format are given, or one field of it."""
    found = [one["given"] for one in cases() if one["format"] == format]
    return found if name is None else [one[name] for one in found]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


@cache
def blobs() -> tuple[bytes, ...]:
    """All that is bytes in the vectors, each once."""
    found = {}
    for one in cases():
        for text in _texts(one["given"]):
            try:
                found[bytes.fromhex(text)] = True
            except ValueError:
                continue
    return tuple(found)


@cache
def objects() -> dict[str, tuple[bytes, ...]]:
    """Signed objects by label."""
    found: dict[str, list[bytes]] = {}
    for blob in blobs():
        try:
            found.setdefault(envelope.peek_label(blob), []).append(blob)
        except Forged:
            continue
    return {label: tuple(some) for label, some in found.items()}


def bodies(label: str) -> list[dict[str, Any]]:
    """The bodies of all genuine-looking objects of a label."""
    found = []
    for blob in objects().get(label, ()):
        try:
            found.append(envelope.peek_body(blob))
        except Forged:
            continue
    return found


def values() -> list[bytes]:
    """All that is CBOR."""
    found = []
    for blob in blobs():
        try:
            decoded(blob)
        except Forged:
            continue
        found.append(blob)
    return found
