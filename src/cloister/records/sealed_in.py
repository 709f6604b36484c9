"""Sealed into a zone: what a machine measured that cannot read it, a dossier's keys that another zone shares, and messages
that could not be written yet. Spec: docs/spec/zones.md 22, 23, 28.

The content is sealed to the epoch's ingest public key, under a hash of all else that is signed, so that nothing can be
moved to another zone, epoch, device or number. Whoever opens it checks the signer against the zone's signed policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloister.base.errors import Denied
from cloister.base.secret import Secret
from cloister.zones import Forged, Refusal, algorithms, certificates, envelope, epochs

LABEL: Final = "cloister/ingest/v1"
PARKED_LABEL: Final = "cloister/parked/v1"
SHARE_LABEL: Final = "cloister/share/v1"
CONTENT_BYTES_MAX: Final = 4 * 1024 * 1024
REASONS: Final = frozenset({"admission", "transfer", "referral", "consent"})
_MILLISECONDS_MAX: Final = 253_370_764_800_000


@dataclass(frozen=True, slots=True)
class Sealed:
    """A verified message of a machine. `sealed` opens with the zone's keys and `info` alone."""

    zone: str
    epoch: int
    device: certificates.Certified
    seq: int
    at: datetime
    sealed: bytes
    info: bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """A verified message that waits for a person. `sealed` opens with the zone's keys and `info` alone."""

    zone: str
    epoch: int
    author: certificates.Certified
    id: bytes
    at: datetime
    sealed: bytes
    info: bytes


@dataclass(frozen=True, slots=True)
class Share:
    """A verified share: `giver` seals a dossier's keys to another zone, and says why and by which resource."""

    dossier: bytes
    zone: str
    epoch: int
    giver: certificates.Certified
    reason: str
    resource: str
    at: datetime
    sealed: bytes
    info: bytes


def sealed_content(signer: envelope.Signer, *, trust: str, epoch: epochs.Epoch, seq: int, content: bytes, now: datetime) -> bytes:
    """`epoch` is the zone's verified present record: an address that a database offers would seal to anybody."""
    if not 0 < len(content) <= CONTENT_BYTES_MAX:
        raise Forged(Refusal.MALFORMED)
    body = {"trust": trust, "zone": epoch.zone, "epoch": epoch.epoch, "seq": seq, "at": _milliseconds(now)}
    return _into(signer, LABEL, body, epoch.ingest, content)


def verified_content(blob: bytes, known: certificates.Certificates, policy: Mapping[str, Any], trust: str, now: datetime) -> Sealed:
    """The message, if its signer's certificate holds and is the one that the zone's policy names for this machine."""
    device, body, info = _opened(LABEL, blob, known, trust, now)
    found = Sealed(
        zone=body.text("zone"),
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        device=device,
        seq=body.number("seq", low=1),
        at=_moment(body.number("at", high=_MILLISECONDS_MAX)),
        sealed=body.octets("sealed"),
        info=info,
    )
    body.done()
    named = policy.get("ingest")
    if not isinstance(named, dict) or named.get(device.person) != device.hash.hex():
        raise Denied("The zone's policy does not name this machine.", hint="Ask the access officer.", reason=Refusal.DEVICE_NOT_NAMED)
    return found


def parked_content(signer: envelope.Signer, *, trust: str, epoch: epochs.Epoch, id: bytes, content: bytes, now: datetime) -> bytes:
    """A message that could not be written, for the people of the zone: `content` says where it came from, then its bytes."""
    if not 0 < len(content) <= CONTENT_BYTES_MAX:
        raise Forged(Refusal.MALFORMED)
    body = {"trust": trust, "zone": epoch.zone, "epoch": epoch.epoch, "id": id, "at": _milliseconds(now)}
    return _into(signer, PARKED_LABEL, body, epoch.ingest, content)


def verified_parked(blob: bytes, known: certificates.Certificates, trust: str, now: datetime) -> Parked:
    author, body, info = _opened(PARKED_LABEL, blob, known, trust, now)
    found = Parked(
        zone=body.text("zone"),
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        author=author,
        id=body.octets("id", 16),
        at=_moment(body.number("at", high=_MILLISECONDS_MAX)),
        sealed=body.octets("sealed"),
        info=info,
    )
    body.done()
    return found


def share(
    signer: envelope.Signer,
    *,
    trust: str,
    epoch: epochs.Epoch,
    dossier: bytes,
    keys: Mapping[int, Secret],
    reason: str,
    resource: str,
    now: datetime,
) -> bytes:
    """A dossier's keys for a zone that the giver does not hold."""
    body = {
        "trust": trust,
        "dossier": dossier,
        "zone": epoch.zone,
        "epoch": epoch.epoch,
        "reason": reason,
        "resource": resource,
        "at": _milliseconds(now),
    }
    plain = b"".join(number.to_bytes(2, "big") + key.reveal() for number, key in sorted(keys.items()))
    return _into(signer, SHARE_LABEL, body, epoch.ingest, plain)


def verified_share(blob: bytes, known: certificates.Certificates, trust: str, now: datetime) -> Share:
    giver, body, info = _opened(SHARE_LABEL, blob, known, trust, now)
    found = Share(
        dossier=body.octets("dossier", 16),
        zone=body.text("zone"),
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        giver=giver,
        reason=body.text("reason"),
        resource=body.text("resource"),
        at=_moment(body.number("at", high=_MILLISECONDS_MAX)),
        sealed=body.octets("sealed"),
        info=info,
    )
    body.done()
    if found.reason not in REASONS:
        raise Forged(Refusal.MALFORMED)
    return found


def shared_keys(plain: bytes) -> dict[int, Secret]:
    """The keys inside an opened share, by their number."""
    step = 2 + algorithms.KEY_BYTES
    if not plain or len(plain) % step:
        raise Forged(Refusal.MALFORMED)
    return {int.from_bytes(plain[at : at + 2], "big"): Secret(plain[at + 2 : at + step]) for at in range(0, len(plain), step)}


Verified = tuple[certificates.Certified, Any, bytes]  # who signed, the body's fields, the seal's info


def _into(signer: envelope.Signer, label: str, body: dict[str, Any], public: bytes, plain: bytes) -> bytes:
    return signer.sign(label, {**body, "sealed": algorithms.kem_seal(public, plain, envelope.bound(label, signer.id, body))})


def _opened(label: str, blob: bytes, known: certificates.Certificates, trust: str, now: datetime) -> Verified:
    signer = envelope.peek_signer(blob)
    author = known.valid(envelope.certificate_hash(signer), now)
    body = envelope.fields(label, blob, author.sign_public)
    if body.text("trust") != trust:
        raise Forged(Refusal.TRUST)
    return author, body, envelope.bound(label, signer, envelope.peek_body(blob))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
