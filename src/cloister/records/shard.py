"""The identity shard: a zone's patients, sealed, opened in the session's memory to search people by name.

Appended part by part, and many small parts now and then made one by a session that may write. Tokens cannot do
this: names and birth dates alone would tell too much (docs/spec/zones.md).
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from cloister.base.errors import Conflict
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
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Forged(Refusal.MALFORMED) from None


class Shard:
    """One zone's people, as this session last fetched them."""

    def __init__(self, gate: Caller, keyring: Keyring, zone: str) -> None:
        self._gate = gate
        self._keyring = keyring
        self.zone = zone
        self._people: dict[tuple[bytes, str], Person] = {}
        self._parts: set[int] = set()

    async def people(self) -> Iterable[Person]:
        """Everybody of this zone; parts that this session has not seen are fetched first."""
        rows = await self._gate.call("shard", zone=self.zone, known=list(self._parts))
        for number, _, sealed in rows:
            if sealed is not None:
                self._take(open_people(self._keyring, self.zone, number, sealed))
        # A part that is gone was made one with others; its people are in the part that replaced it.
        self._parts = {number for number, _, _ in rows}
        if len(rows) > PARTS_MAX:
            await tidy(self._gate, self._keyring, self.zone)
        return self._people.values()

    def _take(self, people: Iterable[Person]) -> None:
        for person in people:
            place = (person.dossier, person.entry.id)
            other = self._people.get(place)
            if other is None or other.entry.version <= person.entry.version:
                self._people[place] = person


async def tidy(gate: Caller, keyring: Keyring, zone: str) -> None:
    """Make one of the smallest parts when there are many; whoever is faster wins, and nobody waits for it."""
    rows = await gate.call("shard", zone=zone, bodies=False)
    if len(rows) <= PARTS_MAX or not keyring.can(zone, "write"):
        return
    chosen = {number for number, _, _ in sorted(rows, key=lambda row: (row[1], row[0]))[:PARTS_MERGED]}
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
