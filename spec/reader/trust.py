"""Section 4: the signed envelope."""

from __future__ import annotations

from typing import Any

from spec.reader.algorithms import check_signature, raw, sha256
from spec.reader.encoding import decode, encode, shown
from spec.reader.refused import need


def split(blob: bytes) -> list[Any]:
    """[label, algorithm, signer, body, signature], not yet believed."""
    value = decode(blob)
    need(isinstance(value, list) and len(value) == 5, "malformed")
    for part, kind in zip(value, (str, int, str, bytes, bytes), strict=True):
        need(isinstance(part, kind) and not isinstance(part, bool), "malformed")
    return value


def opened(label: str, blob: bytes, public: bytes) -> dict[str, Any]:
    found, algorithm, signer, inner, signature = split(blob)
    need(found == label, "label")
    need(algorithm == 1, "algorithm")
    check_signature(public, encode([found, algorithm, signer, inner]), signature)
    body = decode(inner)
    need(isinstance(body, dict), "malformed")
    return body


def envelope(given: dict[str, Any]) -> dict[str, Any]:
    public, blob = raw(given, "public", "blob")
    body = opened(given["label"], blob, public)
    return {"signer": split(blob)[2], "body": shown(body), "hash": sha256(blob)}


FORMATS = {"envelope": envelope}
