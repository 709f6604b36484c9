"""How the formats of section 2 are opened here."""

from __future__ import annotations

from typing import Any

import cbor2

from cloister.zones.cbor import decoded, encoded
from cloister.zones.packing import packed


def shown(value: Any) -> Any:
    """A CBOR value as JSON: bytes stand as {"hex": …}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items()}
    return [shown(inner) for inner in value] if isinstance(value, list) else value


def cbor(given: dict[str, Any]) -> dict[str, Any]:
    blob = bytes.fromhex(given["bytes"])
    value = decoded(blob)
    assert encoded(value) == blob
    assert cbor2.loads(blob) == value
    return {"value": shown(value)}


def packing(given: dict[str, Any]) -> dict[str, Any]:
    parts = [bytes.fromhex(part["hex"]) if isinstance(part, dict) else part for part in given["parts"]]
    return {"out": packed(given["label"], *parts)}


FORMATS = {"cbor": cbor, "packed": packing}
