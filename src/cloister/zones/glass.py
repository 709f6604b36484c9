"""Break-glass seals: an epoch's key for those who may open the zone in need, and for the colleagues who must agree.
Spec: docs/spec/zones.md 21.

The zone key Z is split, Z = A xor P. A is sealed to each asker; P to each approver where one must agree, and as
shares of two of n where two must; where none must, A is Z. Neither side learns anything of Z alone. Who they are
stands in the zone's signed policy with the hash of the exact certificate, never as a role: a role is a row that
an administrator writes, and IT must not be able to make an asker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import algorithms, envelope, shamir
from cloister.zones.cbor import Fields
from cloister.zones.epochs import EpochKeys, EpochSeal, SealMaterial
from cloister.zones.grants import SEALED_BYTES, Offices, Right
from cloister.zones.refusals import Forged, Refusal, Refused

LABEL: Final = "cloister/glass/v1"
KIND: Final = "glass"
ASKER: Final = 0  # an asker's place; approvers have 1 to 255
APPROVERS_MAX: Final = 2
POOL_MAX: Final = 40
SECONDS_MAX: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class GlassPolicy:
    """What a zone's signed policy says. Askers and pool: id of a person to the hash of the certificate, in hex there."""

    approvers: int
    seconds: int
    right: Right
    askers: Mapping[str, bytes]
    pool: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class GlassPart:
    """A verified seal. Parts belong together by `set`; `place` is ASKER, or the x of an approver's share."""

    zone: str
    epoch: int
    set: bytes
    approvers: int
    place: int
    person: str
    certificate: bytes
    sealed: bytes
    info: bytes


def policy_of(policy: Mapping[str, Any]) -> GlassPolicy | None:
    """None: break-glass is not offered in this zone."""
    raw = policy.get(KIND)
    if raw is None:
        return None
    body = Fields(raw)
    found = GlassPolicy(
        approvers=body.number("approvers", high=APPROVERS_MAX),
        seconds=body.number("seconds", low=1, high=SECONDS_MAX),
        right=Right.WRITE if body.text("right") == Right.WRITE else Right.READ,
        askers=_named(body.mapping("askers")),
        pool=_named(body.mapping("approvers_pool")),
    )
    body.done()
    if len(found.pool) > POOL_MAX:
        raise Forged(Refusal.MALFORMED)
    return found


def seals_of_epoch(material: SealMaterial, keys: EpochKeys, signer: envelope.Signer, now: datetime, *, first: int = 0) -> list[EpochSeal]:
    """The seals of an epoch by the zone's policy, numbered from `first`; none where break-glass is not offered.

    `material.records["kem"]` are people's public keys: one is used only where the certificate that the policy names
    holds now and carries its hash. With fewer approvers than must agree nothing is sealed at all.
    """
    policy = policy_of(material.zone.policy)
    if policy is None:
        return []
    known = {algorithms.sha256(kem): kem for kem in material.records.get("kem", ())}
    askers = _recipients(policy.askers, material.offices, known, now)
    pool = _recipients(policy.pool, material.offices, known, now)
    if not askers or len(pool) < policy.approvers:
        return []
    key = keys.key.reveal()
    other = algorithms.random(len(key)) if policy.approvers else bytes(len(key))
    common: dict[str, Any] = {
        "trust": material.trust,
        "zone": keys.zone,
        "epoch": keys.epoch,
        "set": algorithms.random(16),
        "approvers": policy.approvers,
        "made": int(now.timestamp() * 1000),
    }
    secrets = [(ASKER, one, _xor(key, other)) for one in askers]
    if policy.approvers == 1:
        secrets += [(1, one, other) for one in pool]
    elif policy.approvers:
        secrets += [(x, one, share) for x, (one, share) in enumerate(zip(pool, shamir.shares(other, len(pool)), strict=True), start=1)]
    made = []
    for number, (place, (person, certificate, kem), secret) in enumerate(secrets, start=first):
        body = {**common, "place": place, "person": person, "certificate": certificate}
        body["sealed"] = algorithms.kem_seal(kem, secret, envelope.bound(LABEL, signer.id, body))
        made.append(EpochSeal(KIND, number, signer.sign(LABEL, body)))
    return made


def verified_part(blob: bytes, offices: Offices) -> GlassPart:
    """The part, if an access officer of that zone, or the access root, signed it."""
    signer = envelope.peek_signer(blob)
    raw = envelope.opened(LABEL, blob, offices.claimed_key(blob))
    body = Fields(raw)
    if body.text("trust") != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    made = body.moment("made")
    part = GlassPart(
        zone=body.text("zone"),
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        set=body.octets("set", 16),
        approvers=body.number("approvers", high=APPROVERS_MAX),
        place=body.number("place", high=shamir.SHARES_MAX),
        person=body.text("person"),
        certificate=body.octets("certificate", 32),
        sealed=body.octets("sealed", SEALED_BYTES),
        info=envelope.bound(LABEL, signer, raw),
    )
    body.done()
    offices.access_key(signer, zone=part.zone, now=made)
    return part


def combined(asker: Secret, approvers: int, shares: Mapping[int, bytes]) -> Secret:
    """The zone key from the asker's part and the released ones, by place. Whether it is right, the epoch's commitment says."""
    if len(shares) < approvers:
        raise Refused(Refusal.APPROVALS_MISSING)
    if not approvers:
        return asker
    places = sorted(shares)[:approvers]
    other = shares[places[0]] if approvers == 1 else shamir.joined({place: shares[place] for place in places})
    return Secret(_xor(asker.reveal(), other))


def _recipients(
    wanted: Mapping[str, bytes], offices: Offices, known: Mapping[bytes, bytes], now: datetime
) -> list[tuple[str, bytes, bytes]]:
    """Who of them can be sealed to now: person, certificate, public key. Who has left is left out."""
    found = []
    for person, certificate in sorted(wanted.items()):
        try:
            holder = offices.certificates.valid(certificate, now)
        except (Forged, Refused):
            continue
        kem = known.get(holder.kem_digest)
        if kem is not None and holder.person == person:
            found.append((person, certificate, kem))
    return found


def _named(raw: Mapping[str, Any]) -> dict[str, bytes]:
    body = Fields(raw)
    return {name: envelope.certificate_hash(body.text(name)) for name in raw}


def _xor(a: bytes, b: bytes) -> bytes:
    if len(a) != len(b):
        raise Forged(Refusal.MALFORMED)
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
