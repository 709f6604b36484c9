"""The sealed dossier index: one line a resource, in parts that are appended and now and then made one.

A part's plain bytes: one byte format, one byte dictionary number, then a zstd frame of msgpack
{type number: [line, ...]}. Of two lines for one resource the higher version counts. Spec: docs/spec/zones.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from cloister.records.definitions import type_numbers
from cloister.records.search import IndexEntry
from cloister.zones import Forged, Refusal, compression

FORMAT: Final = 1


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


_encoder: Final = msgspec.msgpack.Encoder()
_types: Final = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
_lines: Final = msgspec.msgpack.Decoder(list[Line])
_line: Final = msgspec.msgpack.Decoder(Line)
_raws: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


def pack_part(lines: Iterable[Line]) -> bytes:
    """The plain bytes of an index part, ready to be sealed."""
    numbers = type_numbers()
    by_type: dict[int, list[Line]] = {}
    for line in lines:
        by_type.setdefault(numbers[line.entry.type], []).append(line)
    number = compression.DEFAULT
    return bytes((FORMAT, number)) + compression.compress(_encoder.encode(by_type), number)


def unpack_part(plain: bytes) -> dict[int, bytes]:
    """Type number -> packed lines, not yet read: most are never asked for."""
    if len(plain) < 2 or plain[0] != FORMAT:
        raise Forged(Refusal.MALFORMED, hint="This record's index was written by another version of the program.")
    try:
        return {number: bytes(raw) for number, raw in _types.decode(compression.decompress(plain[1], plain[2:])).items()}
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None


def read_lines(packed: bytes) -> list[Line]:
    try:
        return _lines.decode(packed)
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None


def read_lines_of(packed: bytes, id: str) -> list[Line]:
    """The lines of one resource, found in the packed ones by the bytes of its id."""
    name = id.encode()
    if name not in packed:
        return []
    try:
        found = [_line.decode(raw) for raw in _raws.decode(packed) if name in bytes(raw)]
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None
    return [line for line in found if line.entry.id == id]
