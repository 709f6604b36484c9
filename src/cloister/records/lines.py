"""The sealed dossier index: one line a resource, in parts that are appended and now and then made one.

A part's plain bytes: one byte format, one byte dictionary number, then a zstd frame of msgpack
{type number: {resource id: line}}. Of two lines for one resource the higher version counts. Spec: docs/spec/zones.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from cloister.records.definitions import type_numbers
from cloister.records.search import IndexEntry
from cloister.zones import Forged, Refusal, compression

FORMAT: Final = 2


class Line(Struct, array_like=True, gc=False, frozen=True):
    """What the index keeps of the current version of one resource.

    `prior` chains the hashes of all earlier versions, so that history can be neither cut nor changed:
    prior(n) = SHA-256(prior(n-1) | SHA-256(sealed version n-1)), empty for version 1.
    `content` is a digest of the resource without its version: an import that finds it again writes nothing.
    """

    sealed: bytes  # SHA-256 of the stored ciphertext
    prior: bytes
    content: bytes
    row: bytes  # the row's id where it does not follow from the resource's (rowids.py), else empty
    deleted: bool
    entry: IndexEntry


Packed = dict[str, msgspec.Raw]  # resource id -> its line, not yet read

_encoder: Final = msgspec.msgpack.Encoder()
_types: Final = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
_packed: Final = msgspec.msgpack.Decoder(Packed)
_line: Final = msgspec.msgpack.Decoder(Line)


def pack_part(lines: Iterable[Line]) -> bytes:
    """The plain bytes of an index part, ready to be sealed."""
    numbers = type_numbers()
    by_type: dict[int, dict[str, Line]] = {}
    for line in lines:
        by_type.setdefault(numbers[line.entry.type], {})[line.entry.id] = line
    number = compression.DEFAULT
    return bytes((FORMAT, number)) + compression.compress(_encoder.encode(by_type), number)


def unpack_part(plain: bytes) -> dict[int, msgspec.Raw]:
    """Type number -> packed lines, not yet read: most are never asked for."""
    if len(plain) < 2 or plain[0] != FORMAT:
        raise Forged(Refusal.MALFORMED, hint="This record's index was written by another version of the program.")
    try:
        return _types.decode(compression.decompress(plain[1], plain[2:]))
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None


def read_packed(packed: msgspec.Raw) -> Packed:
    try:
        return _packed.decode(packed)
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None


def read_line(packed: msgspec.Raw) -> Line:
    try:
        return _line.decode(packed)
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None
