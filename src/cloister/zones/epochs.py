"""Zones and their key generations. Spec: docs/spec/zones.md 9.

A zone key (32 bytes) belongs to one epoch. From it come the wrap, shard, link and seal keys and a
commitment. Epoch e+1 carries epoch e sealed, so that one grant opens the past down to its floor; an
epoch made without that link closes the past to all who have only later keys. The index key of a zone
lives across epochs (tokens cannot be rewrapped) and is sealed under each epoch's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from cloister.base.secret import Secret
from cloister.zones import algorithms, envelope
from cloister.zones.grants import Offices
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal

ZONE_LABEL: Final = "cloister/zone/v1"
EPOCH_LABEL: Final = "cloister/epoch/v1"
PAST: Final = "past"  # in a zone's policy; CLOSED: each new epoch is made without a link
CLOSED: Final = "closed"
SEALED_KEY_BYTES: Final = 12 + 32 + 16


class EpochKeys:
    """What one epoch's zone key gives."""

    __slots__ = ("_ingest", "_key", "_link", "_seal", "commitment", "epoch", "shard", "wrap", "zone")

    def __init__(self, zone: str, epoch: int, key: Secret) -> None:
        raw = key.reveal()
        if len(raw) != algorithms.KEY_BYTES:
            raise Forged(Refusal.MALFORMED)
        self.zone: Final = zone
        self.epoch: Final = epoch
        self._key = key
        self.commitment: Final = algorithms.hkdf(raw, "cloister/epoch/v1/commitment")
        self.wrap: Final = algorithms.Aead(algorithms.hkdf(raw, "cloister/epoch/v1/wrap"))
        self.shard: Final = algorithms.Aead(algorithms.hkdf(raw, "cloister/epoch/v1/shard"))
        self._ingest: algorithms.KemPrivate | None = None
        self._link = algorithms.Aead(algorithms.hkdf(raw, "cloister/epoch/v1/link"))
        self._seal = algorithms.Aead(algorithms.hkdf(raw, "cloister/epoch/v1/index"))

    @property
    def key(self) -> Secret:
        """For granting it to another person; never leaves this room otherwise."""
        return self._key

    @property
    def ingest(self) -> algorithms.KemPrivate:
        """The zone's HPKE key of this epoch: whoever has its public half seals into the zone and reads nothing."""
        if self._ingest is None:
            self._ingest = algorithms.KemPrivate(algorithms.hkdf(self._key.reveal(), "cloister/epoch/v1/ingest"))
        return self._ingest

    @property
    def files(self) -> Secret:
        """What the zone's files of this epoch are sealed under (files.py); made when it is asked for."""
        return Secret(algorithms.hkdf(self._key.reveal(), "cloister/epoch/v1/files"))

    def seal_previous(self, previous: Secret) -> bytes:
        return self._link.seal(previous.reveal(), self._bound("previous"))

    def open_previous(self, sealed: bytes) -> Secret:
        return Secret(self._link.open(sealed, self._bound("previous")))

    def seal_index_key(self, index_key: Secret) -> bytes:
        return self._seal.seal(index_key.reveal(), self._bound("index"))

    def open_index_key(self, sealed: bytes) -> Secret:
        return Secret(self._seal.open(sealed, self._bound("index")))

    def _bound(self, what: str) -> bytes:
        return packed("cloister/epoch/v1/sealed", what, self.zone, self.epoch)

    def __repr__(self) -> str:
        return f"EpochKeys({self.zone!r}, {self.epoch}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


@dataclass(frozen=True, slots=True)
class Zone:
    """A verified zone record."""

    zone: str
    name: str
    hospital: str
    ward: str | None
    policy: dict[str, Any]
    seq: int
    made: datetime


@dataclass(frozen=True, slots=True)
class Epoch:
    """A verified epoch record."""

    zone: str
    epoch: int
    commitment: bytes
    index: bytes
    previous: bytes | None
    ingest: bytes
    made: datetime


@dataclass(frozen=True, slots=True)
class EpochSeal:
    """An epoch's key sealed for something else than a grant: recovery, or opening in need. `body` is a signed envelope."""

    kind: str  # "recovery" or "glass"
    part: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SealMaterial:
    """What decides for whom else an epoch's key is sealed. `records` are as fetched: whoever uses one verifies it."""

    trust: str
    offices: Offices
    zone: Zone
    previous: tuple[EpochSeal, ...] = ()  # what the epoch before was sealed for
    records: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)  # signed records by kind, as "recovery-set"


def new_zone_key() -> Secret:
    return Secret(algorithms.random(algorithms.KEY_BYTES))


def new_index_key() -> Secret:
    return Secret(algorithms.random(algorithms.KEY_BYTES))


def zone_record(
    signer: envelope.Signer,
    *,
    trust: str,
    zone: str,
    name: str,
    hospital: str,
    ward: str | None,
    policy: dict[str, Any],
    made: datetime,
    seq: int = 1,
) -> bytes:
    """What a zone is and what its policy says, signed by an access officer or the access root."""
    body = {
        "trust": trust,
        "zone": zone,
        "name": name,
        "hospital": hospital,
        "ward": ward,
        "policy": policy,
        "seq": seq,
        "made": _milliseconds(made),
    }
    return signer.sign(ZONE_LABEL, body)


def epoch_record(
    signer: envelope.Signer, *, trust: str, keys: EpochKeys, index_key: Secret, previous: Secret | None, made: datetime
) -> bytes:
    """A key generation, signed by an access officer or the access root. `previous` None closes the past."""
    body = {
        "trust": trust,
        "zone": keys.zone,
        "epoch": keys.epoch,
        "commitment": keys.commitment,
        "index": keys.seal_index_key(index_key),
        "ingest": keys.ingest.public,
        "previous": keys.seal_previous(previous) if previous is not None else None,
        "made": _milliseconds(made),
    }
    return signer.sign(EPOCH_LABEL, body)


def verified_zone(blob: bytes, public: bytes, trust: str) -> Zone:
    body = envelope.fields(ZONE_LABEL, blob, public)
    if body.text("trust") != trust:
        raise Forged(Refusal.TRUST)
    zone = Zone(
        zone=body.text("zone"),
        name=body.text("name"),
        hospital=body.text("hospital"),
        ward=body.text_or_none("ward"),
        policy=body.mapping("policy"),
        seq=body.number("seq", low=1),
        made=body.moment("made"),
    )
    body.done()
    return zone


def verified_epoch(blob: bytes, public: bytes, trust: str) -> Epoch:
    body = envelope.fields(EPOCH_LABEL, blob, public)
    if body.text("trust") != trust:
        raise Forged(Refusal.TRUST)
    epoch = Epoch(
        zone=body.text("zone"),
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        commitment=body.octets("commitment", 32),
        index=body.octets("index", SEALED_KEY_BYTES),
        previous=body.octets_or_none("previous", SEALED_KEY_BYTES),
        ingest=body.octets("ingest", algorithms.KEM_PUBLIC_BYTES),
        made=body.moment("made"),
    )
    body.done()
    return epoch


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    """Moments are signed as milliseconds since 1970 UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
