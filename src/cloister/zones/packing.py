"""Length-prefixed packing of what is bound as additional data or hashed. Spec: docs/spec/zones.md 2.

Text and bytes are a 4-byte big-endian length and the bytes; numbers are 8 bytes big-endian. The first
part is always a label, so that no two kinds of packing can ever be equal.
"""

from __future__ import annotations


def packed(label: str, *parts: str | bytes | int) -> bytes:
    out = [_one(label)]
    out.extend(_one(part) for part in parts)
    return b"".join(out)


def _one(part: str | bytes | int) -> bytes:
    if isinstance(part, int):
        return part.to_bytes(8, "big")
    raw = part.encode() if isinstance(part, str) else part
    return len(raw).to_bytes(4, "big") + raw
