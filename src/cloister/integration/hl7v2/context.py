"""What a mapper is given: the message, its sender's tables, what the record has already; and what it gives back.

A mapper is a pure function. What it needs to know of the record is asked for before, by names.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.integration.hl7v2.message import Message
from cloister.integration.hl7v2.overrides import SenderMapping
from cloister.integration.hl7v2.patching import same
from cloister.zones import algorithms

Json = dict[str, Any]
SEGMENT_EXTENSION: Final = "urn:cloister:hl7v2:segment"


@dataclass(frozen=True, slots=True)
class Names:
    """Ids that follow from what a sender calls a thing, under a key of the zone: the same thing is found again, and nobody guesses it."""

    key: bytes = field(repr=False)

    def id(self, *parts: str) -> str:
        return str(uuid.UUID(bytes=algorithms.hmac256(self.key, "\x1f".join(parts).encode())[:16], version=4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the record has, as this session sees it; every part may be absent."""

    patient: Mapping[str, Any] | None = None
    prior: Mapping[str, Any] | None = None  # of MRG-1
    encounter: Mapping[str, Any] | None = None
    coverages: tuple[Mapping[str, Any], ...] = ()
    orders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # ServiceRequest by 'system|value'
    appointment: Mapping[str, Any] | None = None
    written: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # Type/id that this sender wrote before


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A message on its way through a mapper."""

    message: Message
    by: SenderMapping
    names: Names
    known: Known
    patient: str  # the id that the patient has or will have
    ins: bool = True  # False: the record has refused the national number, and the rest is to be kept


@dataclass(slots=True)
class Made:
    """The resources to be written, in order, each once; and what its sender should hear without stopping."""

    resources: dict[str, Json] = field(default_factory=dict)  # Type/id
    notes: list[str] = field(default_factory=list)

    def put(self, resource: Json, existing: Mapping[str, Any] | None = None) -> str:
        """Returns its reference. What is there already with the same content is not written again."""
        reference = f"{resource['resourceType']}/{resource['id']}"
        if not same(existing, resource):
            self.resources[reference] = resource
        return reference
