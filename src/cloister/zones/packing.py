"""Length-prefixed packing of what is bound as additional data or hashed. Spec: docs/spec/zones.md 2.

Text and bytes are a 4-byte big-endian length and the bytes; numbers are 8 bytes big-endian. The first
part is always a label, so that no two kinds of packing can ever be equal.
"""

from __future__ import annotations

from cloister.zones.refusals import Forged, Refusal


def packed(label: str, *parts: str | bytes | int) -> bytes:
    out = [_one(label)]
    out.extend(_one(part) for part in parts)
    return b"".join(out)


def _one(part: str | bytes | int) -> bytes:
    if isinstance(part, int):
        if not 0 <= part < 2**64:  # a row's number may be anything that a column holds
            raise Forged(Refusal.MALFORMED)
        return part.to_bytes(8, "big")
    try:
        raw = part.encode() if isinstance(part, str) else part
    except UnicodeEncodeError:  # a lone surrogate
        raise Forged(Refusal.MALFORMED) from None
    return len(raw).to_bytes(4, "big") + raw
