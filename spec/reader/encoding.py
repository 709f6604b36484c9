"""Section 2: deterministic CBOR and packing."""

from __future__ import annotations

from typing import Any

from spec.reader.refused import Refused, need

MALFORMED = "malformed"


def encode(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(encode(one) for one in value)
    pairs = sorted((encode(name), encode(one)) for name, one in value.items())
    return head(5, len(pairs)) + b"".join(name + one for name, one in pairs)


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | low]) + number.to_bytes(size, "big")
    raise Refused(MALFORMED)


def decode(blob: bytes) -> Any:
    need(len(blob) <= 16 * 1024 * 1024, MALFORMED)
    value, rest = item(blob, 8)
    need(not rest and encode(value) == blob, MALFORMED)  # the one encoding, and nothing after it
    return value


def item(blob: bytes, levels: int) -> tuple[Any, bytes]:
    need(len(blob) > 0, MALFORMED)
    major, low, rest = blob[0] >> 5, blob[0] & 31, blob[1:]
    if major == 7:
        need(low in (20, 21, 22), MALFORMED)
        return {20: False, 21: True, 22: None}[low], rest
    number = low
    if low >= 24:
        need(low <= 27, MALFORMED)
        size = 1 << (low - 24)
        need(len(rest) >= size, MALFORMED)
        number, rest = int.from_bytes(rest[:size], "big"), rest[size:]
    if major < 2:
        return (number if major == 0 else -1 - number), rest
    need(number <= len(rest) and major != 6, MALFORMED)
    if major in (2, 3):
        try:
            return (rest[:number] if major == 2 else rest[:number].decode()), rest[number:]
        except UnicodeDecodeError:
            raise Refused(MALFORMED) from None
    need(levels > 0, MALFORMED)
    return array(rest, number, levels) if major == 4 else mapping(rest, number, levels)


def array(rest: bytes, number: int, levels: int) -> tuple[list[Any], bytes]:
    values = []
    for _ in range(number):
        value, rest = item(rest, levels - 1)
        values.append(value)
    return values, rest


def mapping(rest: bytes, number: int, levels: int) -> tuple[dict[str, Any], bytes]:
    values: dict[str, Any] = {}
    for _ in range(number):
        name, rest = item(rest, levels - 1)
        need(isinstance(name, str) and name not in values, MALFORMED)
        values[name], rest = item(rest, levels - 1)
    return values, rest


def packed(label: str, *parts: str | bytes | int) -> bytes:
    out = b""
    for part in (label, *parts):
        if isinstance(part, int):
            need(0 <= part < 1 << 64, MALFORMED)
            out += part.to_bytes(8, "big")
        else:
            raw = part.encode() if isinstance(part, str) else part
            out += len(raw).to_bytes(4, "big") + raw
    return out


def body(value: Any, **fields: Any) -> dict[str, Any]:
    """The map, if it has exactly these fields, each of the type (or one of the types) that is named."""
    need(isinstance(value, dict) and set(value) == set(fields), MALFORMED)
    for name, wanted in fields.items():
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        need(any(is_a(value[name], kind) for kind in kinds), MALFORMED)
    return value


def is_a(value: Any, kind: Any) -> bool:
    """kind: None, a type, a number of bytes, or a range of numbers."""
    if kind is None:
        return value is None
    if isinstance(kind, range):
        return isinstance(value, int) and not isinstance(value, bool) and value in kind
    if isinstance(kind, int):
        return isinstance(value, bytes) and len(value) == kind
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def shown(value: Any) -> Any:
    """A value of CBOR as the vectors have it in JSON."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items()}
    return [shown(one) for one in value] if isinstance(value, list) else value


def cbor(given: dict[str, Any]) -> dict[str, Any]:
    return {"value": shown(decode(bytes.fromhex(given["bytes"])))}


def packing(given: dict[str, Any]) -> dict[str, Any]:
    return {"out": packed(given["label"], *(bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in given["parts"]))}


FORMATS = {"cbor": cbor, "packed": packing}
