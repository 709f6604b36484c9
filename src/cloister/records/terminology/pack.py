"""A pack: code systems, value sets, concept maps and profiles in one file that is mapped, not read.

A session may open no file, so its zygote maps the packs before it forks: every session of a server shares the same pages, and
a table that nobody asks for costs nothing. Written by `make` (the definitions of R4) and by `cloister terminology load`.
Holds definitions only: no patient's code is ever written here.

    magic, 8 bytes | offset and size of the index, 2 x u64 | segments, each at a multiple of 8 | index (zstd, MessagePack)

A segment is a code system (codesystem.py) or the zstd of a resource's JSON; one more holds the definitions whole (wholes.py).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import zstandard

from cloister.base.errors import Corrupt, Unavailable
from cloister.records.terminology.codesystem import CodeSystem, packed_code_system
from cloister.records.terminology.wholes import Wholes, packed_wholes

MAGIC: Final = b"CLPACK01"
HEAD: Final = struct.Struct("<8sQQ")
KINDS: Final = ("CodeSystem", "ValueSet", "ConceptMap", "StructureDefinition")
WHOLES: Final = "wholes"  # in the place of a kind: the segment of the definitions as they were published
RESOURCE_BYTES_MAX: Final = 256 * 1024 * 1024
LEVEL: Final = 12
ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource of a pack. `note` is what can be told without opening it: content of a code system, type of a profile."""

    kind: str
    url: str
    version: str
    id: str
    title: str
    status: str
    note: str
    start: int
    size: int


class Pack:
    """An opened pack: its entries, and each of them on demand."""

    def __init__(self, content: memoryview, name: str) -> None:
        self.name = name
        self._content = content
        try:
            magic, start, size = HEAD.unpack_from(content)
            if magic != MAGIC:
                raise ValueError("magic")
            packed = zstandard.ZstdDecompressor().decompress(content[start : start + size], max_output_size=RESOURCE_BYTES_MAX)
            rows = msgspec.msgpack.decode(packed, type=list[tuple[str, str, str, str, str, str, str, int, int]])
        except (struct.error, ValueError, msgspec.DecodeError, zstandard.ZstdError) as broken:
            raise Corrupt(f"The pack {name} cannot be read.", hint="Build it again: 'make', or 'cloister terminology load'.") from broken
        self.entries = [Entry(*row) for row in rows if row[0] != WHOLES]
        whole = next((Entry(*row) for row in rows if row[0] == WHOLES), None)
        self.wholes = Wholes(content[whole.start : whole.start + whole.size]) if whole is not None else None

    def code_system(self, entry: Entry) -> CodeSystem:
        return CodeSystem(self._content[entry.start : entry.start + entry.size])

    def resource(self, entry: Entry) -> dict[str, Any]:
        raw = self._content[entry.start : entry.start + entry.size]
        body: dict[str, Any] = msgspec.json.decode(zstandard.ZstdDecompressor().decompress(raw, max_output_size=RESOURCE_BYTES_MAX))
        return body


def open_pack(path: Path) -> Pack:
    """The pack in a file, mapped; the mapping stays for as long as the process lives."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise Unavailable(f"The pack {path.name} is not built.", hint="Run 'make'.") from None
    except ValueError as empty:
        raise Corrupt(f"The pack {path.name} is empty.", hint="Build it again.") from empty
    _mapped.append(content)
    return Pack(memoryview(content), path.stem)


# A mapping keeps the number of a descriptor that a session closes (zygote.py), and would close whatever has that number
# by then. So none is ever given back.
_mapped: Final[list[mmap.mmap]] = []


def packed(resources: Iterable[dict[str, Any]], published: Iterable[dict[str, Any]] = (), made: datetime | None = None) -> bytes:
    """The bytes of a pack. Each resource was checked (records/loading): it has a type of KINDS and a url.

    `published`: the definitions as they may be read over FHIR, and the moment that is said of them.
    """
    body = bytearray(HEAD.size)
    rows = []
    for resource in resources:
        kind = resource["resourceType"]
        if kind == "CodeSystem":
            segment, note = packed_code_system(resource), str(resource.get("content", ""))
        else:
            segment = zstandard.ZstdCompressor(level=LEVEL).compress(ENCODER.encode(resource))
            note = str(resource.get("type", ""))
        body.extend(bytes(-len(body) % 8))
        texts = [str(resource.get(name, "")) for name in ("url", "version", "id", "title", "status")]
        texts[3] = texts[3] or str(resource.get("name", ""))
        rows.append((kind, *texts, note, len(body), len(segment)))
        body.extend(segment)
    if made is not None:
        segment = packed_wholes(published, made)
        body.extend(bytes(-len(body) % 8))
        rows.append((WHOLES, *[""] * 6, len(body), len(segment)))
        body.extend(segment)
    index = zstandard.ZstdCompressor(level=LEVEL).compress(msgspec.msgpack.encode(rows))
    HEAD.pack_into(body, 0, MAGIC, len(body), len(index))
    return bytes(body + index)


def pack_of(resources: Iterable[dict[str, Any]], name: str) -> Pack:
    """A pack in memory, for what a session's own registers hold."""
    return Pack(memoryview(packed(resources)), name)
