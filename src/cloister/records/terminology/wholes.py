"""Definitions as they were published, whole, in one segment of a pack: for who reads and finds them over FHIR.

What a pack keeps to check by (code systems as arrays, profiles by their elements) is not the definition itself. Here each is
zstd of its JSON, with the id, version 1 and the moment that a read gives; and by type what the search parameters see of it
(search/compile.py), so that nobody has to open them all to find one. Nothing is decoded before it is asked for.

    offset and size of the index, 2 x u64 | bodies | values of each type, MessagePack | index (zstd, MessagePack)

`stamp` says by which search parameters the values were taken. Those of another stamp are taken anew before sessions are forked.
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import zstandard

from cloister.base.clock import iso
from cloister.records.definitions import load
from cloister.records.fhir.text import decode, encode
from cloister.records.search.compile import extract
from cloister.records.search.entry import Values

TYPES: Final = (
    "CodeSystem", "CompartmentDefinition", "ConceptMap", "NamingSystem", "OperationDefinition", "SearchParameter", "StructureDefinition",
    "ValueSet",
)  # fmt: skip
HEAD: Final = struct.Struct("<QQ")
LEVEL: Final = 12
EXTRACTED: Final = 1  # raise when extract() sees something else in the same resource
BODY_BYTES_MAX: Final = 4 * 1024 * 1024  # of the JSON of one definition; beyond, it is told without what is listed in it
LISTED: Final = {"CodeSystem": "concept", "ValueSet": "expansion"}
SUBSETTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
R4_MADE: Final = datetime(2019, 10, 31, 22, 29, 23, tzinfo=UTC)  # when HL7 generated 4.0.1, by the files themselves
ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One definition. `start` and `size` are those of its body, `length` that of its JSON."""

    type: str
    id: str
    url: str
    version: str
    start: int
    size: int
    length: int


class Index(msgspec.Struct, frozen=True):
    made: int  # microseconds since 1970 UTC
    stamp: str
    rows: list[Row]
    values: dict[str, tuple[int, int]]


class Wholes:
    """The definitions of one pack."""

    def __init__(self, segment: memoryview) -> None:
        self._segment = segment
        start, size = HEAD.unpack_from(segment)
        self.index = msgspec.msgpack.decode(_opened(segment[start : start + size]), type=Index)
        self.made = datetime.fromtimestamp(self.index.made / 1_000_000, UTC)
        self._anew: dict[str, bytes] = {}
        if self.index.stamp != stamp():
            self._anew = {
                type: msgspec.msgpack.encode([extract(decode(self.body(one))) for one in self.index.rows if one.type == type])
                for type in self.index.values
            }

    def body(self, row: Row) -> bytes:
        return _opened(self._segment[row.start : row.start + row.size])

    def values(self, type: str) -> list[msgspec.Raw]:
        """What searches see of each definition of a type, in the order of its rows; each to be read by `values_of`."""
        start, size = self.index.values.get(type, (0, 0))
        packed = self._anew.get(type) or self._segment[start : start + size]
        return msgspec.msgpack.decode(packed, type=list[msgspec.Raw]) if size else []


_values: Final = msgspec.msgpack.Decoder(Values)


def values_of(raw: msgspec.Raw) -> Values:
    return _values.decode(raw)


@functools.cache
def stamp() -> str:
    """By which search parameters this program takes values."""
    return hashlib.sha256(f"{EXTRACTED}".encode() + msgspec.msgpack.encode(load().search)).hexdigest()[:16]


def _opened(packed: memoryview) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=2**31)


# --- writing --------------------------------------------------------------------------------------------------------


def packed_wholes(resources: Iterable[dict[str, Any]], made: datetime) -> bytes:
    """The bytes of such a segment; of several under one type and id the first counts. Each resource was checked (records/loading)."""
    published: dict[tuple[str, str], dict[str, Any]] = {}
    for resource in resources:
        one = as_published(resource, made)
        published.setdefault((one["resourceType"], one["id"]), one)
    body = bytearray(HEAD.size)
    rows = []
    for (type, id), one in sorted(published.items()):
        raw = encode(one)
        if len(raw) > BODY_BYTES_MAX:
            published[type, id] = one = _head_of(one)
            raw = encode(one)
        segment = zstandard.ZstdCompressor(level=LEVEL).compress(raw)
        rows.append(Row(type, id, str(one.get("url", "")), str(one.get("version", "")), len(body), len(segment), len(raw)))
        body.extend(segment)
    values = {}
    for type in sorted({row.type for row in rows}):
        found = msgspec.msgpack.encode([extract(published[type, row.id]) for row in rows if row.type == type])
        values[type] = (len(body), len(found))
        body.extend(found)
    index = msgspec.msgpack.encode(Index(int(made.timestamp() * 1_000_000), stamp(), rows, values))
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(index)
    HEAD.pack_into(body, 0, len(body), len(packed))
    return bytes(body + packed)


def as_published(resource: dict[str, Any], made: datetime) -> dict[str, Any]:
    """The definition as a read gives it: with an id, version 1 and its moment; without its narrative, which nothing here needs."""
    id = resource.get("id")
    if not isinstance(id, str) or not ID.fullmatch(id):
        address = f"{resource.get('url', resource.get('name', ''))}|{resource.get('version', '')}"
        id = hashlib.sha256(address.encode()).hexdigest()[:32]
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    first = {"resourceType": resource["resourceType"], "id": id, "meta": {"versionId": "1", "lastUpdated": iso(made), **meta}}
    return first | {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta", "text")}


def _head_of(resource: dict[str, Any]) -> dict[str, Any]:
    """A definition that is too long to be read in one piece, without its codes; it says so (http://hl7.org/fhir/R4/search.html#summary)."""
    listed = LISTED.get(resource["resourceType"], "")
    kept = {name: value for name, value in resource.items() if name not in (listed, "contained")}
    if listed == "concept":
        kept.setdefault("count", _count(resource.get("concept", ())))
    return kept | {"meta": kept["meta"] | {"tag": [*kept["meta"].get("tag", ()), SUBSETTED]}}


def _count(concepts: Iterable[dict[str, Any]]) -> int:
    return sum(1 + _count(one.get("concept", ())) for one in concepts)
