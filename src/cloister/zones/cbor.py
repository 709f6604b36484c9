"""Deterministic CBOR (RFC 8949 section 4.2.1), the encoding of everything signed. Spec: docs/spec/zones.md 2.

Only integers, bytes, text, arrays, maps with text keys, true, false and null. Decoding accepts exactly one
encoding of each value: shortest lengths, sorted keys, nothing indefinite, nothing after the end. So the
hash of an object is the hash of its meaning, and a decoder cannot be led to disagree with another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import cbor2

from cloister.zones.refusals import Forged, Refusal

DEPTH_MAX: Final = 8
BYTES_MAX: Final = 16 * 1024 * 1024
MILLISECONDS_MAX: Final = 253_370_764_800_000  # 9999-01-01
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_SMALLEST: Final = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}


def encoded(value: Any) -> bytes:
    body: bytes = cbor2.dumps(value, canonical=True)
    return body


def decoded(blob: bytes) -> Any:
    """The value; raises Forged(malformed) unless `blob` is its only encoding."""
    if not isinstance(blob, bytes) or len(blob) > BYTES_MAX:
        raise Forged(Refusal.MALFORMED)
    value, end = _item(blob, 0, 0)
    if end != len(blob):
        raise Forged(Refusal.MALFORMED)
    return value


def _head(blob: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where the rest begins."""
    if at >= len(blob):
        raise Forged(Refusal.MALFORMED)
    major, low = blob[at] >> 5, blob[at] & 0x1F
    if low < 24:
        return major, low, at + 1
    size = _ARGUMENT_BYTES.get(low)
    if size is None or major == 7 or at + 1 + size > len(blob):
        raise Forged(Refusal.MALFORMED)
    argument = int.from_bytes(blob[at + 1 : at + 1 + size], "big")
    if argument < _SMALLEST[low]:  # a shorter form exists
        raise Forged(Refusal.MALFORMED)
    return major, argument, at + 1 + size


def _item(blob: bytes, at: int, depth: int) -> tuple[Any, int]:
    major, argument, start = _head(blob, at)
    if major == 0:
        return argument, start
    if major == 1:
        return -1 - argument, start
    if major in (2, 3):
        end = start + argument
        if end > len(blob):
            raise Forged(Refusal.MALFORMED)
        return (blob[start:end] if major == 2 else _text(blob[start:end])), end
    if depth == DEPTH_MAX or argument > len(blob) - start and major in (4, 5):
        raise Forged(Refusal.MALFORMED)
    if major == 4:
        return _array(blob, start, argument, depth)
    if major == 5:
        return _map(blob, start, argument, depth)
    if major == 7 and argument in (20, 21, 22):
        return {20: False, 21: True, 22: None}[argument], start
    raise Forged(Refusal.MALFORMED)  # tags, floats, undefined


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Forged(Refusal.MALFORMED) from None


def _array(blob: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    values = []
    for _ in range(count):
        value, at = _item(blob, at, depth + 1)
        values.append(value)
    return values, at


def _map(blob: bytes, at: int, count: int, depth: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    before = b""
    for _ in range(count):
        start = at
        key, at = _item(blob, at, depth + 1)
        if not isinstance(key, str) or blob[start:at] <= before:
            raise Forged(Refusal.MALFORMED)
        before = blob[start:at]
        values[key], at = _item(blob, at, depth + 1)
    return values, at


class Fields:
    """A decoded body, read field by field; a missing field or one of another type is Forged(malformed).

    `done()` refuses fields that nobody read, so that a body says nothing that is not understood.
    """

    __slots__ = ("_left",)

    def __init__(self, body: Any) -> None:
        if not isinstance(body, dict):
            raise Forged(Refusal.MALFORMED)
        self._left = dict(body)

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise Forged(Refusal.MALFORMED)
        return self._left.pop(name)

    def text(self, name: str) -> str:
        value = self._take(name)
        if not isinstance(value, str):
            raise Forged(Refusal.MALFORMED)
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self._left.get(name, "") is None and self._take(name) is None else self.text(name)

    def number(self, name: str, *, low: int = 0, high: int = 2**63 - 1) -> int:
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Forged(Refusal.MALFORMED)
        return value

    def moment(self, name: str) -> datetime:
        """Milliseconds since 1970 UTC, not beyond the year 9998."""
        return datetime.fromtimestamp(self.number(name, high=MILLISECONDS_MAX) / 1000, UTC)

    def octets(self, name: str, length: int | None = None) -> bytes:
        value = self._take(name)
        if not isinstance(value, bytes) or (length is not None and len(value) != length):
            raise Forged(Refusal.MALFORMED)
        return value

    def octets_or_none(self, name: str, length: int | None = None) -> bytes | None:
        return None if self._left.get(name, b"") is None and self._take(name) is None else self.octets(name, length)

    def texts_or_none(self, name: str) -> tuple[str, ...] | None:
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise Forged(Refusal.MALFORMED)
        return tuple(value)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._take(name)
        if not isinstance(value, dict):
            raise Forged(Refusal.MALFORMED)
        return value

    def done(self) -> None:
        if self._left:
            raise Forged(Refusal.MALFORMED)
