"""Mandates and grants: who may give keys, and who was given them. Spec: docs/spec/zones.md 8.

A root signs a mandate for an officer's exact certificate. An access officer signs a grant that names the
exact certificate of the person, with the zone key sealed to that person under the hash of the grant. So
IT cannot re-issue "Dr A" with a new key and inherit A's grants, and the access officer cannot invent A.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import algorithms, envelope
from cloister.zones.cbor import MILLISECONDS_MAX, Fields, encoded
from cloister.zones.certificates import Certificates, Certified, TrustRoots
from cloister.zones.refusals import Forged, Refusal, Refused

MANDATE_LABEL: Final = "cloister/mandate/v1"
GRANT_LABEL: Final = "cloister/grant/v1"
GRANT_INFO: Final = b"cloister/grant-seal/v1|"
SEALED_BYTES: Final = algorithms.KEM_ENC_BYTES + 32 + algorithms.TAG_BYTES
NO_PREVIOUS: Final = bytes(32)
REASON_CHARACTERS_MAX: Final = 500


class Office(StrEnum):
    CERTIFICATE = "certificate"
    ACCESS = "access"


class Right(StrEnum):
    """What a grant allows; each includes those before it."""

    HOLD = "hold"  # keep the key in order to grant it: neither read nor write (access officers)
    READ = "read"
    WRITE = "write"


RANK: Final = {Right.HOLD: 0, Right.READ: 1, Right.WRITE: 2}


@dataclass(frozen=True, slots=True)
class Mandate:
    """A root's signed word that the holder of one certificate holds an office."""

    office: Office
    person: str
    certificate: bytes
    ceiling: Right
    zones: frozenset[str] | None  # None: every zone of the trust
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """An access officer's signed word that one person may open one zone. `sealed` is the zone key for that person."""

    zone: str
    epoch: int
    floor: int
    person: str
    certificate: bytes
    right: Right
    not_before: datetime
    live_until: datetime
    reason: str
    seq: int
    previous: bytes
    signer: str
    sealed: bytes
    info: bytes
    hash: bytes

    def open_key(self, kem: algorithms.KemPrivate) -> Secret:
        return Secret(kem.open(self.sealed, self.info))


def mandate(
    root_seed: Secret,
    office: str,
    officer_certificate: bytes,
    person: str,
    ceiling: str,
    zones: Iterable[str] | None,
    not_after: datetime,
    *,
    trust: str,
) -> bytes:
    """Signed by the root of that office. `officer_certificate` is the hash of the exact certificate."""
    kind = Office(office)
    signer = envelope.certificate_root(root_seed) if kind is Office.CERTIFICATE else envelope.access_root(root_seed)
    body = {
        "trust": trust,
        "office": str(kind),
        "person": person,
        "certificate": officer_certificate,
        "ceiling": str(Right(ceiling)),
        "zones": sorted(zones) if zones is not None else None,
        "not_after": _milliseconds(not_after),
    }
    return signer.sign(MANDATE_LABEL, body)


def verified_mandate(blob: bytes, trust: TrustRoots) -> Mandate:
    """What a mandate says, if the root of its own office signed it."""
    signer = envelope.peek_signer(blob)
    roots = {
        envelope.ROOT_CERTIFICATE: (Office.CERTIFICATE, trust.certificate_root_public),
        envelope.ROOT_ACCESS: (Office.ACCESS, trust.access_root_public),
    }
    if signer not in roots:
        raise Forged(Refusal.MANDATE_MISSING)
    office, public = roots[signer]
    body = envelope.fields(MANDATE_LABEL, blob, public)
    if body.text("trust") != trust.trust_id:
        raise Forged(Refusal.TRUST)
    if body.text("office") != office:
        raise Forged(Refusal.SWAPPED)
    zones = body.texts_or_none("zones")
    if zones is not None and list(zones) != sorted(set(zones)):  # one writing of each set
        raise Forged(Refusal.MALFORMED)
    found = Mandate(
        office=office,
        person=body.text("person"),
        certificate=body.octets("certificate", 32),
        ceiling=_right(body.text("ceiling")),
        zones=None if zones is None else frozenset(zones),
        not_after=body.moment("not_after"),
    )
    body.done()
    return found


class Offices:
    """Who may sign what: the verified mandates of a trust, over its certificates. Keeps the offices apart."""

    def __init__(self, trust: TrustRoots, certificates: Certificates, mandates: Iterable[bytes]) -> None:
        self.trust = trust
        self.certificates = certificates
        self.refused: list[tuple[bytes, Refusal]] = []
        self._access: dict[bytes, list[Mandate]] = {}
        self._certifying_people: set[str] = set()
        self._certifying_hashes: set[bytes] = set()
        for blob in mandates:
            try:
                found = verified_mandate(blob, trust)
            except Forged as refused:
                self.refused.append((envelope.digest(blob), refused.refusal))
                continue
            if found.office is Office.ACCESS:
                self._access.setdefault(found.certificate, []).append(found)
            else:
                self._certifying_people.add(found.person)
                self._certifying_hashes.add(found.certificate)

    def claimed_key(self, blob: bytes) -> bytes:
        """The public key of whoever claims to have signed this: the access root, or the holder of a certificate that leads to the
        root. Whether that was an office is for `access_key`, once the signature holds."""
        signer = envelope.peek_signer(blob)
        if signer == envelope.ROOT_ACCESS:
            return self.trust.access_root_public
        return self.certificates.chained(envelope.certificate_hash(signer)).sign_public

    def access_key(
        self, signer: str, *, zone: str | None, now: datetime | None, right: Right | None = None
    ) -> tuple[bytes, Certified | None]:
        """The public key of an access signer and, unless it is the root, the officer; or a Refused by name. `zone` None: of any;
        `now` None: at any time, also before the office ended."""
        if signer == envelope.ROOT_ACCESS:
            if self.certificates.certifies(self.trust.access_root_public):
                raise Refused(Refusal.BOTH_OFFICES)
            return self.trust.access_root_public, None
        hashed = envelope.certificate_hash(signer)
        mandates = self._access.get(hashed)
        if not mandates:
            raise Refused(Refusal.MANDATE_MISSING)
        officer = self.certificates.chained(hashed) if now is None else self.certificates.valid(hashed, now)
        self._apart(officer)
        standing = [one for one in mandates if one.person == officer.person and (now is None or now <= one.not_after)]
        if not standing:
            raise Refused(Refusal.MANDATE_EXPIRED)
        for one in standing:
            if (one.zones is None or zone is None or zone in one.zones) and (right is None or RANK[right] <= RANK[one.ceiling]):
                return officer.sign_public, officer
        raise Refused(Refusal.ABOVE_CEILING)

    def _apart(self, officer: Certified) -> None:
        both = (
            officer.person in self._certifying_people
            or officer.hash in self._certifying_hashes
            or officer.office == Office.CERTIFICATE
            or self.certificates.certifies(officer.sign_public)
            or self.certificates.certifier(officer.person)
        )
        if both:
            raise Refused(Refusal.BOTH_OFFICES)


def sign_grant(
    signer: envelope.Signer,
    *,
    trust: str,
    zone: str,
    epoch: int,
    floor: int,
    person: str,
    certificate: bytes,
    kem_public: bytes,
    zone_key: Secret,
    right: str,
    not_before: datetime,
    live_until: datetime,
    reason: str,
    seq: int = 1,
    previous: bytes = NO_PREVIOUS,
) -> bytes:
    """A grant with the zone key sealed to the person. One seal and one signature, whatever the zone's size.

    `certificate` is the hash of the person's exact certificate; `seq` counts that person's grants in that zone.
    """
    if signer.id == certificate.hex() and right != Right.HOLD:
        raise Refused(Refusal.GRANT_SELF)
    body: dict[str, Any] = {
        "trust": trust,
        "zone": zone,
        "epoch": epoch,
        "floor": floor,
        "person": person,
        "certificate": certificate,
        "right": str(Right(right)),
        "not_before": _milliseconds(not_before),
        "live_until": _milliseconds(live_until),
        "reason": reason[:REASON_CHARACTERS_MAX],
        "seq": seq,
        "previous": previous,
    }
    body["sealed"] = algorithms.kem_seal(kem_public, zone_key.reveal(), _info(signer.id, body))
    return signer.sign(GRANT_LABEL, body)


def verified_grant(
    blob: bytes, *, trust: TrustRoots, certificates: Certificates, mandates: Iterable[bytes] | Offices, now: datetime
) -> Grant:
    """The grant, if its officer's chain and office hold and it holds now; says nothing yet about whose keyring it is."""
    offices = mandates if isinstance(mandates, Offices) else Offices(trust, certificates, mandates)
    grant = authorised_grant(blob, offices, now)
    check_moment(grant, now)
    return grant


def authorised_grant(blob: bytes, offices: Offices, now: datetime | None) -> Grant:
    """The grant, if its officer may give it (`now` None: might ever); it may have ended, or been replaced by a newer one."""
    signer = envelope.peek_signer(blob)
    public = offices.claimed_key(blob)
    grant = _opened_grant(blob, public, offices.trust.trust_id)  # the signature first: nothing of the body is believed before
    _, officer = offices.access_key(signer, zone=grant.zone, now=now, right=grant.right)
    _check_not_self(grant, officer, offices.certificates)
    return grant


def check_moment(grant: Grant, now: datetime) -> None:
    if now < grant.not_before:
        raise Refused(Refusal.GRANT_NOT_YET)
    if now > grant.live_until:
        raise Refused(Refusal.GRANT_EXPIRED)


def _opened_grant(blob: bytes, public: bytes, trust: str) -> Grant:
    raw = envelope.opened(GRANT_LABEL, blob, public)
    signer = envelope.peek_signer(blob)
    info = _info(signer, {name: value for name, value in raw.items() if name != "sealed"})
    body = Fields(raw)
    if body.text("trust") != trust:
        raise Forged(Refusal.TRUST)
    grant = Grant(
        zone=body.text("zone"),
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        floor=body.number("floor", low=1, high=2**31 - 1),
        person=body.text("person"),
        certificate=body.octets("certificate", 32),
        right=_right(body.text("right")),
        not_before=body.moment("not_before"),
        live_until=body.moment("live_until"),
        reason=body.text("reason"),
        seq=body.number("seq", low=1),
        previous=body.octets("previous", 32),
        signer=signer,
        sealed=body.octets("sealed", SEALED_BYTES),
        info=info,
        hash=envelope.digest(blob),
    )
    body.done()
    if grant.floor > grant.epoch:
        raise Forged(Refusal.EPOCH_FLOOR)
    return grant


def _check_not_self(grant: Grant, officer: Certified | None, certificates: Certificates) -> None:
    # An officer may keep holding a zone whose next epoch that officer made: who can seal a key has it, and holding opens nothing.
    if officer is None or grant.right is Right.HOLD:
        return
    if officer.person == grant.person or officer.hash == grant.certificate:
        raise Refused(Refusal.GRANT_SELF)
    if grant.certificate in certificates and certificates.chained(grant.certificate).sign_public == officer.sign_public:
        raise Refused(Refusal.GRANT_SELF)


def _info(signer: str, body: dict[str, Any]) -> bytes:
    return GRANT_INFO + algorithms.sha256(encoded([GRANT_LABEL, signer, body]))


def _right(text: str) -> Right:
    try:
        return Right(text)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


def _milliseconds(moment: datetime) -> int:
    return min(round(moment.timestamp() * 1000), MILLISECONDS_MAX)  # rounded: what was read is signed again unchanged
