"""What the store hands out: a stored version, what became of a write, a page of a search.

FHIR R4: http://hl7.org/fhir/R4/http.html. A `Stored` exists only after its bytes were verified against
the dossier's signed head; there is no name here for unverified bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from cloister.records.fhir.text import decode

DELETED: Final = "deleted"  # the reason of a NotFound that is HTTP 410 Gone


class Stored:
    """One version of one resource. `raw` is its JSON with meta.versionId and meta.lastUpdated in it.

    `resource` is parsed when first asked for, because a read over HTTP only passes `raw` on.
    A deleted version has empty `raw` and `resource` None.
    """

    __slots__ = ("type", "id", "version", "updated", "raw", "dossier", "_resource")

    def __init__(self, type: str, id: str, version: int, updated: datetime, raw: bytes, dossier: bytes = b"") -> None:
        self.type = type
        self.id = id
        self.version = version
        self.updated = updated
        self.raw = raw
        self.dossier = dossier
        self._resource: dict[str, Any] | None = None

    @property
    def deleted(self) -> bool:
        return not self.raw

    @property
    def resource(self) -> dict[str, Any] | None:
        if self._resource is None and self.raw:
            self._resource = decode(self.raw)
        return self._resource

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"

    def __repr__(self) -> str:
        return f"Stored({self.type}, version {self.version}, {len(self.raw)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one write. `unchanged`: the same content was stored already, nothing was written."""

    stored: Stored
    created: bool = False
    unchanged: bool = False


class Hit(Struct, frozen=True, kw_only=True):
    """One entry of a search page; `mode` is Bundle.entry.search.mode."""

    stored: Stored
    mode: Literal["match", "include"] = "match"


class Page(Struct, frozen=True, kw_only=True):
    """One page of a search. `total` counts what this session can open, or is None when it was not counted.

    `page` is this page's own token; `first`, `previous` and `next` are tokens for `Records.page(token)`.
    """

    hits: tuple[Hit, ...]
    total: int | None = None
    page: str | None = None
    first: str | None = None
    previous: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One entry of a transaction or batch answer: `status` is an HTTP status such as '201 Created'."""

    status: str
    stored: Stored | None = None
    page: Page | None = None
    problem: Exception | None = field(default=None)  # a CloisterError of this entry (batch only)
    # What another address of the endpoint answered (batch only): the resource's JSON, and etag, lastModified, location.
    raw: bytes = b""
    told: Mapping[str, str] = field(default_factory=dict)


Elsewhere = Callable[[dict[str, Any]], Awaitable[Outcome]]  # a batch's entry to what its address answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One zone that may open a dossier, for 'who has access to this record'."""

    zone: str
    name: str
    people: tuple[tuple[str, str, str], ...]  # person id, name, role


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Why a zone has this dossier besides its own zone, by whose word, since and until when."""

    zone: str
    name: str
    reason: str
    giver: str
    taken: bool  # somebody of the zone has taken it up
    since: datetime
    until: datetime | None
