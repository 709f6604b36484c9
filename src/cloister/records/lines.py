"""The sealed dossier index: one line a resource, in parts that are appended and now and then made one.

A part's plain bytes: one byte format, one byte dictionary number, then a zstd frame of msgpack
{type number: {resource id: line}}. Of two lines for one resource the higher version counts. Spec: docs/spec/zones.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from cloister.records.definitions import type_numbers
from cloister.records.search import IndexEntry
from cloister.zones import Forged, Refusal, compression

FORMAT: Final = 2
PLACE_BYTES: Final = 250  # about what a line costs besides its bytes


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
_packed: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_line: Final = msgspec.msgpack.Decoder(Line)


ByType = dict[int, dict[str, Line | msgspec.Raw]]  # type number -> resource id -> its line, read or as it was packed


def by_type(lines: Iterable[Line]) -> ByType:
    numbers = type_numbers()
    found: ByType = {}
    for line in lines:
        found.setdefault(numbers[line.entry.type], {})[line.entry.id] = line
    return found


def pack_part(lines: ByType) -> bytes:
    """The plain bytes of an index part, ready to be sealed."""
    number = compression.DEFAULT
    return bytes((FORMAT, number)) + compression.compress(_encoder.encode(lines), number)


def unpack_part(plain: bytes) -> dict[int, msgspec.Raw]:
    """Type number -> packed lines, not yet read: most are never asked for."""
    if len(plain) < 2 or plain[0] != FORMAT:
        raise Forged(Refusal.MALFORMED, hint="This record's index was written by another version of the program.")
    try:
        return _types.decode(compression.decompress(plain[1], plain[2:]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Forged(Refusal.MALFORMED) from None


class Packed:
    """The lines of one type, not read: found by id, or by bytes that must stand in them.

    A part that comes later is put behind; of two lines for one resource the higher version counts.
    """

    __slots__ = ("_blob", "_places", "_starts")

    def __init__(self) -> None:
        self._blob = b""
        self._starts = array("I", [0])  # of each line in the blob, and the end of the last
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, id: str) -> bool:
        return id in self._places

    @property
    def bytes_kept(self) -> int:
        return len(self._blob) + PLACE_BYTES * len(self._places)

    def add(self, raw: msgspec.Raw) -> None:
        try:
            newer = _packed.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Forged(Refusal.MALFORMED) from None
        pieces: list[bytes] = []
        end = len(self._blob)
        for id, one in newer.items():
            piece = bytes(one)
            known = self._places.get(id)
            if known is not None and (self._piece(known) == piece or self._read(known).entry.version > read_line(piece).entry.version):
                continue
            self._places[id] = len(self._starts) - 1
            pieces.append(piece)
            end += len(piece)
            self._starts.append(end)
        self._blob += b"".join(pieces)

    def get(self, id: str) -> Line | None:
        place = self._places.get(id)
        return self._read(place) if place is not None else None

    def read(self) -> dict[str, Line]:
        return {id: self._read(place) for id, place in self._places.items()}

    def packed(self) -> dict[str, msgspec.Raw]:
        """Every line as it was packed, to be packed again with others."""
        return {id: msgspec.Raw(self._piece(place)) for id, place in self._places.items()}

    def containing(self, needles: Sequence[bytes]) -> list[Line]:
        """The lines in whose bytes one of the needles stands: what a search reads, instead of all."""
        blob, starts = self._blob, self._starts
        places: set[int] = set()
        for needle in needles:
            at = blob.find(needle)
            while at >= 0:
                place = bisect_right(starts, at) - 1
                end = starts[place + 1]
                if at + len(needle) <= end:
                    places.add(place)
                    at = blob.find(needle, end)
                else:  # it only seems to stand there, across the border of two lines
                    at = blob.find(needle, at + 1)
        lines = [(place, self._read(place)) for place in sorted(places)]
        return [line for place, line in lines if self._places[line.entry.id] == place]

    def _read(self, place: int) -> Line:
        return read_line(self._piece(place))

    def _piece(self, place: int) -> bytes:
        return self._blob[self._starts[place] : self._starts[place + 1]]


def read_line(packed: bytes) -> Line:
    try:
        return _line.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Forged(Refusal.MALFORMED) from None
