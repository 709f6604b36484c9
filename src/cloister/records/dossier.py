"""One dossier, opened in this session: its key, its head, its index. Pure; fetching is dossiers.py.

An opened dossier exists only after its head commit was verified (signature, author, proof of the key) and the
index parts were found to be exactly those that the head signed. A row is then checked against its line.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cloister.base.secret import Secret
from cloister.records.definitions import load, type_numbers
from cloister.records.lines import Line, read_lines, read_lines_of, unpack_part
from cloister.records.rowids import uuid_row
from cloister.records.stored import Stored
from cloister.zones import DossierKey, Forged, Refusal, algorithms, compression, dossiers

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LINE_BYTES: Final = 1400  # about what a line costs once it is read, for the bound on memory
DOSSIER_BYTES: Final = 6000
PARTS_MAX: Final = 32  # more than this, and the next write makes few of many


@dataclass(frozen=True, slots=True)
class Row:
    """A stored row as it came from the gate, unverified."""

    version: int
    key_no: int
    dict_no: int
    sealed: bytes


class Dossier:
    """`seq` 0: made by this session and not yet written."""

    __slots__ = (
        "id",
        "name",
        "kind",
        "seq",
        "head",
        "keys",
        "secret",
        "zones",
        "parts",
        "sizes",
        "_packed",
        "_lines",
        "_packed_bytes",
        "_count",
    )

    def __init__(self, id: bytes, kind: str) -> None:
        self.id = id
        self.name = str(uuid.UUID(bytes=id))
        self.kind = kind
        self.seq = 0
        self.head = bytes(32)
        self.keys: dict[int, DossierKey] = {}
        self.secret: dict[int, Secret] = {}  # for wrapping the dossier for a further zone
        self.zones: frozenset[str] = frozenset()  # zones of this session that hold the dossier's key
        self.parts: dict[int, bytes] = {}  # number -> SHA-256 of the sealed part
        self.sizes: dict[int, int] = {}
        self._packed: dict[int, list[bytes]] = {}
        self._lines: dict[int, dict[str, Line]] = {}
        self._packed_bytes = 0
        self._count = 0

    @property
    def key_no(self) -> int:
        return max(self.keys)

    @property
    def key(self) -> DossierKey:
        return self.keys[self.key_no]

    @property
    def bytes_kept(self) -> int:
        return DOSSIER_BYTES + self._packed_bytes + LINE_BYTES * self._count

    def add_part(self, number: int, sealed: bytes, packed: dict[int, bytes] | None = None) -> None:
        """Open a sealed part and take over its lines; `packed` when this session has just sealed it."""
        if packed is None:
            packed = unpack_part(self.key.open_index_part(number, sealed))
        self.parts[number] = algorithms.sha256(sealed)
        self.sizes[number] = len(sealed)
        for rtype, raw in packed.items():
            known = self._lines.get(rtype)
            if known is not None:
                self._take(known, raw)
            else:
                self._packed.setdefault(rtype, []).append(raw)
                self._packed_bytes += len(raw)

    def keep_parts(self, numbers: frozenset[int]) -> None:
        """Forget the parts that were made one; their lines are in the part that replaced them."""
        for number in [number for number in self.parts if number not in numbers]:
            del self.parts[number], self.sizes[number]

    def lines(self, type: str) -> dict[str, Line]:
        """The lines of a type by resource id; deleted ones are among them."""
        rtype = type_numbers()[type]
        known = self._lines.get(rtype)
        if known is None:
            known = self._lines[rtype] = {}
            for raw in self._packed.pop(rtype, ()):
                self._packed_bytes -= len(raw)
                self._take(known, raw)
        return known

    def line(self, type: str, id: str) -> Line | None:
        """One resource's line, without reading all others of its type when they are not read yet."""
        rtype = type_numbers()[type]
        known = self._lines.get(rtype)
        if known is not None:
            return known.get(id)
        best: Line | None = None
        for raw in self._packed.get(rtype, ()):
            for line in read_lines_of(raw, id):
                if best is None or best.entry.version <= line.entry.version:
                    best = line
        return best

    def current(self, type: str) -> Iterator[Line]:
        return (line for line in self.lines(type).values() if not line.deleted)

    def types(self) -> list[str]:
        names = load().types
        return [names[number] for number in sorted({*self._packed, *self._lines})]

    def every_line(self) -> Iterator[Line]:
        for type in self.types():
            yield from self.lines(type).values()

    def _take(self, known: dict[str, Line], raw: bytes) -> None:
        before = len(known)
        for line in read_lines(raw):
            other = known.get(line.entry.id)
            if other is None or other.entry.version <= line.entry.version:
                known[line.entry.id] = line
        self._count += len(known) - before

    def opened(self, line: Line, row: Row | None, trust: str) -> Stored:
        """The resource of this line, if `row` is exactly the row that the line means; Forged by name otherwise."""
        entry = line.entry
        if row is None:
            raise Forged(Refusal.MISSING_ROW)
        dossiers.check_row(row.sealed, row.version, indexed_version=entry.version, indexed_digest=line.sealed)
        raw = self.open_row(entry.type, entry.id, row, trust)
        if raw.startswith(b"{") == line.deleted:
            raise Forged(Refusal.SWAPPED)
        updated = EPOCH + timedelta(microseconds=entry.updated)
        return Stored(entry.type, entry.id, entry.version, updated, b"" if line.deleted else raw, self.id)

    def open_row(self, type: str, id: str, row: Row, trust: str) -> bytes:
        """The bytes of a version. The caller must have checked which version this is to be."""
        key = self.keys.get(row.key_no)
        if key is None:
            raise Forged(Refusal.TAG)
        return compression.decompress(row.dict_no, key.open_version(trust, type, id, row.version, row.dict_no, row.sealed))


def row_of(line: Line) -> bytes:
    return line.row or uuid_row(line.entry.id) or b""
