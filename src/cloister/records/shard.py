"""The identity shard: a zone's patients, sealed, opened in the session's memory to search people by name.

Appended part by part, and many small parts now and then made one by a session that may write. Tokens cannot do
this: names and birth dates alone would tell too much (docs/spec/zones.md).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from cloister.base.wire import Caller
from cloister.records.search import IndexEntry
from cloister.zones import Forged, Keyring, Refusal, compression

PARTS_MAX: Final = 64
PARTS_MERGED: Final = 48
FORMAT: Final = 1


class Person(Struct, array_like=True, gc=False, frozen=True):
    """One patient of a zone, and where the record is."""

    dossier: bytes
    deleted: bool
    entry: IndexEntry


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Person])


def new_number() -> int:
    """Milliseconds and chance: two sessions that write at once do not meet."""
    return (time.time_ns() // 1_000_000) << 20 | secrets.randbits(20)


def seal_people(keyring: Keyring, zone: str, number: int, people: Iterable[Person]) -> bytes:
    dictionary = compression.DEFAULT
    plain = bytes((FORMAT, dictionary)) + compression.compress(_encoder.encode(list(people)), dictionary)
    return keyring.shard_seal(zone, number, plain)


def open_people(keyring: Keyring, zone: str, number: int, sealed: bytes) -> list[Person]:
    plain = keyring.shard_open(zone, number, sealed)
    if len(plain) < 2 or plain[0] != FORMAT:
        raise Forged(Refusal.MALFORMED)
    try:
        return _decoder.decode(compression.decompress(plain[1], plain[2:]))
    except msgspec.DecodeError:
        raise Forged(Refusal.MALFORMED) from None


class Shard:
    """One zone's people, as this session last fetched them."""

    def __init__(self, gate: Caller, keyring: Keyring, zone: str) -> None:
        self._gate = gate
        self._keyring = keyring
        self.zone = zone
        self._people: dict[tuple[bytes, str], Person] = {}
        self._parts: dict[int, int] = {}  # number -> size

    async def people(self) -> Iterable[Person]:
        """Everybody of this zone; parts that this session has not seen are fetched first."""
        rows = await self._gate.call("shard", zone=self.zone, known=list(self._parts))
        for number, sealed in rows:
            if sealed is not None:
                self._take(open_people(self._keyring, self.zone, number, sealed))
                self._parts[number] = len(sealed)
        present = {number for number, _ in rows}
        for number in [number for number in self._parts if number not in present]:
            del self._parts[number]  # its people are in the part that replaced it
        return self._people.values()

    def _take(self, people: Iterable[Person]) -> None:
        for person in people:
            place = (person.dossier, person.entry.id)
            other = self._people.get(place)
            if other is None or other.entry.version <= person.entry.version:
                self._people[place] = person

    @property
    def parts(self) -> int:
        return len(self._parts)

    def smallest(self) -> list[int]:
        return sorted(self._parts, key=lambda number: (self._parts[number], number))[:PARTS_MERGED]
