"""The identity shard: a zone's patients, sealed, opened in the session's memory to search people by name.

Appended part by part, and many small parts now and then made one by a session that may write. Tokens cannot do
this: names and birth dates alone would tell too much (docs/spec/zones.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from cloister.base.errors import Conflict
from cloister.base.wire import Caller
from cloister.records.search import IndexEntry
from cloister.zones import Forged, Keyring, Refusal, compression

PARTS_MAX: Final = 64  # small ones
PARTS_MERGED: Final = 48
PART_BYTES_MAX: Final = 1024 * 1024  # sealed, of those that are made one: some 8,000 people
CHUNK_PEOPLE: Final = 512
FORMAT: Final = 1

T = TypeVar("T")


class Person(Struct, array_like=True, gc=False, frozen=True):
    """One patient of a zone, and where the record is."""

    dossier: bytes
    deleted: bool
    entry: IndexEntry


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Person])
_packed: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_person: Final = msgspec.msgpack.Decoder(Person)


def new_number() -> int:
    """Milliseconds and chance: two sessions that write at once do not meet."""
    return (time.time_ns() // 1_000_000) << 20 | secrets.randbits(20)


def seal_people(keyring: Keyring, zone: str, number: int, people: Iterable[Person]) -> bytes:
    dictionary = compression.DEFAULT
    plain = bytes((FORMAT, dictionary)) + compression.compress(_encoder.encode(list(people)), dictionary)
    return keyring.shard_seal(zone, number, plain)


def open_people(keyring: Keyring, zone: str, number: int, sealed: bytes) -> list[Person]:
    return _read(_decoder, _opened(keyring, zone, number, sealed))


def _opened(keyring: Keyring, zone: str, number: int, sealed: bytes) -> bytes:
    plain = keyring.shard_open(zone, number, sealed)
    if len(plain) < 2 or plain[0] != FORMAT:
        raise Forged(Refusal.MALFORMED)
    return compression.decompress(plain[1], plain[2:])


class Shard:
    """One zone's people, as this session last fetched them: packed, because a hospital has hundreds of thousands of them."""

    def __init__(self, gate: Caller, keyring: Keyring, zone: str) -> None:
        self._gate = gate
        self._keyring = keyring
        self.zone = zone
        self._parts: dict[int, list[bytes]] = {}  # each a few compressed chunks

    @property
    def bytes_kept(self) -> int:
        return sum(len(chunk) for chunks in self._parts.values() for chunk in chunks)

    async def people(self, needles: Sequence[Sequence[bytes]] = ()) -> AsyncIterator[Person]:
        """The people of this zone in whose bytes one needle of each group stands; what this session has not seen is fetched first.

        Whoever was written several times may come several times, also as before: only the record itself decides.
        """
        for chunk in await self._fetched():
            for person in _found(compression.decompress(compression.DEFAULT, chunk), needles):
                yield person
            await asyncio.sleep(0)  # other requests of this session go on

    async def of(self, dossier: bytes) -> list[Person]:
        """Who is listed with this record, each as written last."""
        newest: dict[str, Person] = {}
        async for person in self.people([[dossier]]):
            other = newest.get(person.entry.id)
            if person.dossier == dossier and (other is None or other.entry.version <= person.entry.version):
                newest[person.entry.id] = person
        return list(newest.values())

    async def _fetched(self) -> list[bytes]:
        known = self._parts
        rows = await self._gate.call("shard", zone=self.zone, known=list(known))
        # A part that is gone was made one with others; its people are in the part that replaced it.
        parts = {number: known.get(number) or await self._chunks(number, sealed) for number, _, sealed in rows}
        self._parts = parts
        if len(_small(rows)) > PARTS_MAX:
            await tidy(self._gate, self._keyring, self.zone)
        return [chunk for chunks in parts.values() for chunk in chunks]

    async def _chunks(self, number: int, sealed: bytes) -> list[bytes]:
        """The same people, so few at once that a search unpacks them in a moment."""
        people, chunks = _read(_packed, _opened(self._keyring, self.zone, number, sealed)), []
        for start in range(0, len(people), CHUNK_PEOPLE):
            chunks.append(compression.compress(_encoder.encode(people[start : start + CHUNK_PEOPLE])))
            await asyncio.sleep(0)
        return chunks


def _found(plain: bytes, needles: Sequence[Sequence[bytes]]) -> Iterator[Person]:
    if not needles:
        yield from _read(_decoder, plain)
        return
    if not all(any(needle in plain for needle in group) for group in needles):
        return
    for packed in _read(_packed, plain):
        raw = bytes(packed)
        if all(any(needle in raw for needle in group) for group in needles):
            yield _read(_person, raw)


def _read(decoder: msgspec.msgpack.Decoder[T], plain: bytes) -> T:
    try:
        return decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Forged(Refusal.MALFORMED) from None


def _small(rows: Sequence[Any]) -> list[Any]:
    """Of (number, bytes, ...): the parts that may be made one with others."""
    return [row for row in rows if 2 * row[1] <= PART_BYTES_MAX]


async def tidy(gate: Caller, keyring: Keyring, zone: str) -> None:
    """Make one of the smallest parts when there are many; whoever is faster wins, and nobody waits for it."""
    rows = await gate.call("shard", zone=zone, bodies=False)
    small = _small(rows)
    if len(small) <= PARTS_MAX or not keyring.can(zone, "write"):
        return
    smallest = sorted((size, number) for number, size, _ in small)[:PARTS_MERGED]
    sizes = accumulate(size for size, _ in smallest)
    chosen = {number for (_, number), together in zip(smallest, sizes, strict=True) if together <= PART_BYTES_MAX}
    others = [number for number, _, _ in rows if number not in chosen]
    people: dict[tuple[bytes, str], Person] = {}
    for number, _, sealed in await gate.call("shard", zone=zone, known=others):
        if sealed is not None and number in chosen:
            for person in open_people(keyring, zone, number, sealed):
                place = (person.dossier, person.entry.id)
                if place not in people or people[place].entry.version <= person.entry.version:
                    people[place] = person
    number = new_number()
    parts: dict[str, Any] = {"shard_zone": [zone], "shard_no": [number], "shard_ct": [seal_people(keyring, zone, number, people.values())]}
    with contextlib.suppress(Conflict):
        await gate.call("write", **parts, shard_drop_zone=[zone] * len(chosen), shard_drop_no=sorted(chosen))
