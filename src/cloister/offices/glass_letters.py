"""What is said in a break-glass request, and signed: the asking, a colleague's approval, an officer's review.
Spec: docs/spec/zones.md 21.

The reason is sealed to the colleagues and officers who may read it, so the database never holds it in clear. A released
part is sealed to the one key that the asking session made for this request: in any other session it opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.base.secret import Secret
from cloister.zones import Forged, Keyring, Refusal, algorithms, envelope, glass

REQUEST_LABEL: Final = "cloister/glass-request/v1"
APPROVAL_LABEL: Final = "cloister/glass-approval/v1"
REVIEW_LABEL: Final = "cloister/glass-review/v1"
REASON_LABEL: Final = "cloister/glass-reason/v1"
REASON_CHARACTERS_MAX: Final = 500
REASON_BYTES: Final = 2048  # of every reason, so that its length tells nothing
CODES: Final = ("life-threat", "no-colleague", "transfer", "patient-asks", "other")
VERDICTS: Final = ("justified", "not-justified", "unclear")
TOLD_MAX: Final = 40  # a letter holds 64 KiB
YEAR_9999: Final = 253_370_764_800_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A verified request: who asks for which zone, from which session, and the key to answer to."""

    zone: str
    person: str
    name: str
    certificate: bytes
    session: str
    ephemeral: bytes
    code: str
    at: datetime
    hash: bytes
    sealed_reason: bytes
    keys: Mapping[str, bytes]  # the reason's key, for each who is told
    info: bytes


@dataclass(frozen=True, slots=True)
class Approval:
    """A verified release: a colleague's part for exactly one request."""

    person: str
    name: str
    epoch: int
    set: bytes
    place: int
    sealed: bytes
    info: bytes


@dataclass(frozen=True, slots=True)
class Review:
    """An officer's verified word on an opening."""

    request: str
    officer: str
    verdict: str
    at: datetime


def letter(
    keyring: Keyring, *, zone: str, session: str, ephemeral: bytes, code: str, reason: str, told: Mapping[str, bytes], now: datetime
) -> bytes:
    """`told`: the public keys of the colleagues and officers, by person."""
    if code not in CODES:
        raise Invalid("Choose one of the reasons.", reason="glass-code", expression="code")
    text = reason.strip()
    if not 8 <= len(text) <= REASON_CHARACTERS_MAX:
        raise Invalid("Say in 8 to 500 characters why you need this now.", reason="glass-reason", expression="reason")
    key = algorithms.random(algorithms.KEY_BYTES)
    body: dict[str, Any] = {
        "trust": keyring.trust_id,
        "zone": zone,
        "session": session,
        "ephemeral": ephemeral,
        "code": code,
        "at": int(now.timestamp() * 1000),
    }
    info = envelope.bound(REASON_LABEL, keyring.signer.id, body)
    body["reason"] = algorithms.aead_seal(key, text.encode().ljust(REASON_BYTES, b"\0"), info)
    body["keys"] = {person: algorithms.kem_seal(public, key, info) for person, public in sorted(told.items())[:TOLD_MAX]}
    return keyring.sign(REQUEST_LABEL, body)


def verified_letter(keyring: Keyring, blob: bytes, now: datetime) -> Letter:
    """The request, if its signer's certificate holds now."""
    author = keyring.author_at(envelope.certificate_hash(envelope.peek_signer(blob)), now)
    body = envelope.fields(REQUEST_LABEL, blob, author.sign_public)
    if body.text("trust") != keyring.trust_id:
        raise Forged(Refusal.TRUST)
    raw = envelope.peek_body(blob)
    rest = {name: value for name, value in raw.items() if name not in ("reason", "keys")}
    keys = body.mapping("keys")
    if not all(isinstance(one, bytes) for one in keys.values()):
        raise Forged(Refusal.MALFORMED)
    found = Letter(
        zone=body.text("zone"),
        person=author.person,
        name=author.name,
        certificate=author.hash,
        session=body.text("session"),
        ephemeral=body.octets("ephemeral", algorithms.KEM_PUBLIC_BYTES),
        code=_one_of(body.text("code"), CODES),
        at=_moment(body.number("at", high=YEAR_9999)),
        hash=envelope.digest(blob),
        sealed_reason=body.octets("reason"),
        keys=keys,
        info=envelope.bound(REASON_LABEL, envelope.peek_signer(blob), rest),
    )
    body.done()
    return found


def reason_of(keyring: Keyring, asked: Letter) -> str | None:
    """The reason in clear, for those it was sealed to."""
    sealed = asked.keys.get(keyring.person)
    if sealed is None:
        return None
    plain = algorithms.aead_open(keyring.open_sealed(sealed, asked.info), asked.sealed_reason, asked.info)
    return plain.rstrip(b"\0").decode("utf-8", "replace")


def approval(keyring: Keyring, asked: Letter, part: glass.GlassPart, now: datetime) -> bytes:
    """One's own part of the zone's key, for the asking session only."""
    share = keyring.open_sealed(part.sealed, part.info)
    body: dict[str, Any] = {
        "trust": keyring.trust_id,
        "letter": asked.hash,
        "zone": part.zone,
        "epoch": part.epoch,
        "set": part.set,
        "place": part.place,
        "at": int(now.timestamp() * 1000),
    }
    body["sealed"] = algorithms.kem_seal(asked.ephemeral, share, envelope.bound(APPROVAL_LABEL, keyring.signer.id, body))
    return keyring.sign(APPROVAL_LABEL, body)


def verified_approval(keyring: Keyring, blob: bytes, asked: Letter, now: datetime) -> Approval:
    """An answer to exactly this letter, by a colleague whose certificate holds; never by the person who asks."""
    signer = envelope.peek_signer(blob)
    author = keyring.author_at(envelope.certificate_hash(signer), now)
    body = envelope.fields(APPROVAL_LABEL, blob, author.sign_public)
    if body.text("trust") != keyring.trust_id:
        raise Forged(Refusal.TRUST)
    letter_hash, zone = body.octets("letter", 32), body.text("zone")
    body.number("at", high=YEAR_9999)
    found = Approval(
        person=author.person,
        name=author.name,
        epoch=body.number("epoch", low=1, high=2**31 - 1),
        set=body.octets("set", 16),
        place=body.number("place", low=1, high=255),
        sealed=body.octets("sealed"),
        info=envelope.bound(APPROVAL_LABEL, signer, envelope.peek_body(blob)),
    )
    body.done()
    if letter_hash != asked.hash or zone != asked.zone or author.person == asked.person:
        raise Forged(Refusal.SWAPPED)
    return found


def share_of(ephemeral: algorithms.KemPrivate, given: Approval) -> Secret:
    return Secret(ephemeral.open(given.sealed, given.info))


def review(keyring: Keyring, *, request: str, letter_hash: bytes, verdict: str, now: datetime) -> bytes:
    body = {
        "trust": keyring.trust_id,
        "request": request,
        "letter": letter_hash,
        "verdict": _chosen(verdict),
        "at": int(now.timestamp() * 1000),
    }
    return keyring.sign(REVIEW_LABEL, body)


def verified_review(keyring: Keyring, blob: bytes, zone: str) -> Review:
    """The review, if an access officer of that zone signed it."""
    signer = envelope.peek_signer(blob)
    author = keyring.author(envelope.certificate_hash(signer))
    body = envelope.fields(REVIEW_LABEL, blob, author.sign_public)
    if body.text("trust") != keyring.trust_id:
        raise Forged(Refusal.TRUST)
    body.octets("letter", 32)
    at = _moment(body.number("at", high=YEAR_9999))
    found = Review(body.text("request"), author.person, _one_of(body.text("verdict"), VERDICTS), at)
    body.done()
    keyring.offices.access_key(signer, zone=zone, now=at)
    return found


def _chosen(verdict: str) -> str:
    if verdict not in VERDICTS:
        raise Invalid("Choose what you found.", reason="glass-verdict", expression="verdict")
    return verdict


def _one_of(text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise Forged(Refusal.MALFORMED)
    return text


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
