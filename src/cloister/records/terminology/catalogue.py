"""The definitions that may be read and found over FHIR: those of R4, and those of what the trust has loaded.

Spec: http://hl7.org/fhir/R4/resource.html#canonical. Of the same id, and of the same address and version, packs of the trust go before
R4, and the highest version before others. Of each only its place is kept; it is decoded when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from cloister.base.errors import Conflict
from cloister.records.search.entry import IndexEntry
from cloister.records.stored import Stored
from cloister.records.terminology.library import version_key
from cloister.records.terminology.pack import Pack
from cloister.records.terminology.wholes import TYPES, Row, Wholes, values_of

__all__ = ["PUBLISHED", "TYPES", "Catalogue", "Place", "Published", "refusal"]

PUBLISHED = "published"  # the reason of a refusal


class Published(Stored):
    """A definition that lies in no dossier: nobody wrote it here, so nobody changes it."""

    __slots__ = ("canonical",)

    def __init__(self, place: Place) -> None:
        row, wholes = place.row, place.wholes
        super().__init__(row.type, row.id, 1, wholes.made, wholes.body(row))
        self.canonical = f"{row.url}|{row.version}" if row.version else row.url


class Place(NamedTuple):
    """Where a definition stands. `number` is its place among those of its type in its pack."""

    wholes: Wholes
    row: Row
    number: int


class Catalogue:
    """All published definitions by type and id."""

    def __init__(self, packs: Sequence[Pack]) -> None:
        self._places: dict[str, dict[str, Place]] = {type: {} for type in TYPES}
        addresses: set[tuple[str, str, str]] = set()
        for place in _in_order(packs):
            row = place.row
            known, address = self._places.get(row.type), (row.type, row.url, row.version)
            if known is None or row.id in known or (row.url and address in addresses):
                continue
            known[row.id] = place
            addresses.add(address)

    def get(self, type: str, id: str) -> Place | None:
        return self._places.get(type, {}).get(id)

    def places(self, type: str) -> Iterable[Place]:
        return self._places.get(type, {}).values()

    def entries(self, places: Iterable[Place]) -> Iterator[tuple[IndexEntry, Place]]:
        """What searches see of each of these, one after the other."""
        values: dict[tuple[int, str], list[msgspec.Raw]] = {}
        for place in places:
            wholes, row = place.wholes, place.row
            key = (id(wholes), row.type)
            if key not in values:
                values[key] = wholes.values(row.type)
            yield IndexEntry(row.type, row.id, 1, wholes.index.made, values_of(values[key][place.number])), place


def refusal(type: str, id: str) -> Conflict:
    """Of a write to a published definition (http.html#update, #delete: 409)."""
    return Conflict(
        f"{type}/{id} is a definition of FHIR R4 or of a package that is loaded here, and stays as it was published.",
        hint="Copy it, change its url or version, and store it under an id of your own.",
        reason=PUBLISHED,
        expression=f"{type}.id",
    )


def _in_order(packs: Sequence[Pack]) -> Iterator[Place]:
    """Those that go before others first: the packs of the trust, in them the highest version, R4 last."""
    *own, base = [list(_places(pack)) for pack in packs] or [[]]
    loaded = [place for several in own for place in several]
    yield from sorted(loaded, key=lambda place: version_key(place.row.version), reverse=True)
    yield from base


def _places(pack: Pack) -> Iterator[Place]:
    wholes = pack.wholes
    if wholes is None:
        return
    counts: dict[str, int] = {}
    for row in wholes.index.rows:
        number = counts[row.type] = counts.get(row.type, -1) + 1
        yield Place(wholes, row, number)
