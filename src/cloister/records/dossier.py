"""One dossier, opened in this session: its key, its head, its index. Pure; fetching is dossiers.py.

An opened dossier exists only after its head commit was verified (signature, author, proof of the key) and the
index parts were found to be exactly those that the head signed. A row is then checked against its line.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cloister.base.secret import Secret
from cloister.records.definitions import load, type_numbers
from cloister.records.lines import ByType, Line, Packed, unpack_part
from cloister.records.rowids import uuid_row
from cloister.records.stored import Stored
from cloister.zones import DossierKey, Forged, Refusal, algorithms, compression, dossiers

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LINE_BYTES: Final = 1400  # about what a line costs once it is read, for the bound on memory
DOSSIER_BYTES: Final = 6000
PARTS_MAX: Final = 32  # more than this, and the next write makes one of all
SMALL_PART_BYTES: Final = 1200  # sealed; about four lines
SMALL_PARTS_MAX: Final = 16  # more small ones than this, and the next write makes one of these


class Row(msgspec.Struct, frozen=True, gc=False):
    """A stored row as it came from the gate, unverified."""

    version: int
    key_no: int
    dict_no: int
    sealed: bytes


class Dossier:
    """`seq` 0: made by this session and not yet written."""

    __slots__ = (
        "_closed",
        "_closed_bytes",
        "_held",
        "_lines",
        "_packed",
        "_sealed",
        "_small",
        "head",
        "id",
        "keys",
        "kind",
        "name",
        "parts",
        "secret",
        "seq",
        "zones",
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
        # Lines by type, in three states: as they came, by id, read. A type is in one of them only.
        self._closed: dict[int, list[msgspec.Raw]] = {}
        self._packed: dict[int, Packed] = {}
        self._lines: dict[int, dict[str, Line]] = {}
        self._closed_bytes = 0
        self._sealed: dict[int, bytes] = {}  # parts that the head has signed and nobody has asked for yet
        self._small: dict[int, dict[int, msgspec.Raw] | None] = {}  # small parts, as they came; None: not opened yet
        self._held: set[str] = set()  # patients known to have a line here: it never goes away, and every write asks

    @property
    def key_no(self) -> int:
        return max(self.keys)

    @property
    def key(self) -> DossierKey:
        return self.keys[self.key_no]

    @property
    def bytes_kept(self) -> int:
        packed = sum(one.bytes_kept for one in self._packed.values())
        sealed = sum(map(len, self._sealed.values()))
        return DOSSIER_BYTES + self._closed_bytes + sealed + packed + LINE_BYTES * sum(len(one) for one in self._lines.values())

    def add_part(self, number: int, sealed: bytes, types: dict[int, msgspec.Raw] | None = None) -> None:
        """Take over a sealed part: opened when its lines are first asked for; `types` when this session has just sealed it."""
        self.parts[number] = algorithms.sha256(sealed)
        if len(sealed) <= SMALL_PART_BYTES:
            self._small[number] = None
        if types is None:
            self._sealed[number] = sealed
        else:
            self._learn(number, types)

    def _open_parts(self) -> None:
        """Open what came sealed; its hash was found in the signed head before."""
        if not self._sealed:
            return
        for number, sealed in sorted(self._sealed.items()):
            self._learn(number, unpack_part(self.key.open_index_part(number, sealed)))
            del self._sealed[number]

    def _learn(self, number: int, types: dict[int, msgspec.Raw]) -> None:
        if number in self._small:
            self._small[number] = types
        for rtype, raw in types.items():
            if rtype in self._lines or rtype in self._packed:
                self._take(rtype, raw)
            else:
                self._closed.setdefault(rtype, []).append(raw)
                self._closed_bytes += memoryview(raw).nbytes

    def keep_parts(self, numbers: frozenset[int]) -> None:
        """Forget the parts that were made one; their lines are in the part that replaced them.

        Before the new part is added: when none of the old ones is left, their lines go too, unread.
        """
        if numbers.isdisjoint(self.parts):
            self._closed, self._packed, self._lines, self._closed_bytes = {}, {}, {}, 0
        for number in [number for number in self.parts if number not in numbers]:
            del self.parts[number]
            self._sealed.pop(number, None)
            self._small.pop(number, None)

    def merged(self) -> tuple[list[int], ByType]:
        """The parts that the next write is to make one, and their lines: all when they are many, else the small ones when those are."""
        if len(self.parts) >= PARTS_MAX:
            return sorted(self.parts), self.every_line_packed()
        if len(self._small) < SMALL_PARTS_MAX:
            return [], {}
        self._open_parts()
        together: dict[int, Packed] = {}
        for _, types in sorted(self._small.items()):
            for rtype, raw in (types or {}).items():
                together.setdefault(rtype, Packed()).add(raw)
        return sorted(self._small), {rtype: {**one.packed()} for rtype, one in together.items()}

    def lines(self, type: str) -> dict[str, Line]:
        """The lines of a type by resource id, all of them read; deleted ones are among them."""
        self._open_parts()
        rtype = type_numbers()[type]
        known = self._lines.get(rtype)
        if known is None:
            known = self._lines[rtype] = self._unpacked(rtype).read()
            del self._packed[rtype]
        return known

    def line(self, type: str, id: str) -> Line | None:
        """One resource's line, without reading all others of its type when they are not read yet."""
        self._open_parts()
        rtype = type_numbers()[type]
        known = self._lines.get(rtype)
        if known is not None:
            return known.get(id)
        return self._unpacked(rtype).get(id)

    def holds(self, type: str, id: str) -> bool:
        """True if there is a line of this resource, deleted or not."""
        if type == "Patient" and id in self._held:
            return True
        rtype = type_numbers().get(type)
        if rtype is None:
            return False
        self._open_parts()
        known = self._lines.get(rtype)
        found = id in (self._unpacked(rtype) if known is None else known)
        if found and type == "Patient":
            self._held.add(id)
        return found

    def _unpacked(self, rtype: int) -> Packed:
        """The packed lines of a type, of all parts."""
        known = self._packed.get(rtype)
        if known is None:
            known = self._packed[rtype] = Packed()
            for raw in self._closed.pop(rtype, ()):
                self._closed_bytes -= memoryview(raw).nbytes
                known.add(raw)
        return known

    def _take(self, rtype: int, raw: msgspec.Raw) -> None:
        """Lines of a further part."""
        lines = self._lines.get(rtype)
        if lines is None:
            self._packed[rtype].add(raw)
            return
        newer = Packed()
        newer.add(raw)
        for id, line in newer.read().items():
            other = lines.get(id)
            if other is None or other.entry.version <= line.entry.version:
                lines[id] = line

    def current(self, type: str) -> Iterator[Line]:
        return (line for line in self.lines(type).values() if not line.deleted)

    def candidates(self, type: str, needles: Sequence[Sequence[bytes]]) -> Iterator[Line]:
        """The current lines of a type that may match: of each group one needle must stand in the line's bytes.

        Only the group with the longest needles is looked for; the lines that have none of them are never read.
        """
        self._open_parts()
        rtype = type_numbers()[type]
        if not needles or rtype in self._lines:
            return self.current(type)
        longest = max(needles, key=lambda group: min(map(len, group), default=0))
        return (line for line in self._unpacked(rtype).containing(longest) if not line.deleted)

    def added(self, parts: frozenset[int], type: str) -> list[Line] | None:
        """The lines of a type in the small parts that came after these parts; None where that cannot be told any more."""
        if not parts <= self.parts.keys():
            return None  # some were made one
        self._open_parts()
        rtype = type_numbers()[type]
        found: list[Line] = []
        for number in self.parts.keys() - parts:
            types = self._small.get(number)
            if types is None:
                return None
            if rtype in types:
                newer = Packed()
                newer.add(types[rtype])
                found.extend(newer.read().values())
        return found

    def types(self) -> list[str]:
        self._open_parts()
        names = load().types
        return [names[number] for number in sorted({*self._closed, *self._packed, *self._lines})]

    def every_line_packed(self) -> ByType:
        """All lines, to be made one part; those that were never read are not read for it."""
        self._open_parts()
        found: ByType = {rtype: {**lines} for rtype, lines in self._lines.items()}
        for rtype in [*self._closed, *self._packed]:
            if rtype not in found:
                found[rtype] = {**self._unpacked(rtype).packed()}
        return found

    def every_line(self) -> Iterator[Line]:
        for type in self.types():
            yield from self.lines(type).values()

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
