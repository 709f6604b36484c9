"""Recovery of an epoch's key by three parties together. Spec: docs/spec/zones.md 24.

Each epoch's zone key is sealed for two card sets, A and B. The key of such a seal is made from an ECDH secret, whose private
half is in a card (management) behind its PIN (medical), and an ML-KEM secret, whose private half is in IT's recovery data;
around it lies a seal to IT's escrow key. So IT opens the outside and gives its half, the card gives its own, and no two
of card, PIN and recovery data open anything. The public keys are an access officer's signed word, never the database's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

from cloister.base.secret import Secret
from cloister.zones import algorithms, envelope
from cloister.zones.cbor import Fields, decoded, encoded
from cloister.zones.dossiers import DossierKey, new_dossier_key
from cloister.zones.epochs import EpochKeys, EpochSeal, SealMaterial
from cloister.zones.grants import Office, Offices
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal, Refused

ESCROW_LABEL: Final = "cloister/recovery-escrow/v1"
SET_LABEL: Final = "cloister/recovery-set/v1"
SEAL_LABEL: Final = "cloister/recovery-seal/v1"
CANARY_LABEL: Final = "cloister/recovery-canary/v1"
CANARY_DOSSIER: Final = "00000000-0000-8000-8000-63616e617279"
CANARY_TEXT: Final = b"This canary was opened by three parties together."
OUTER_INFO: Final = b"cloister/recovery-outer/v1|"
KIND: Final = "recovery"
RECORDS: Final = "recovery-set"  # of SealMaterial.records
SETS: Final = ("A", "B")  # a set's place in this list is its seals' part
EVERY_ZONE: Final = "*"  # only an officer of the whole trust signs a set


class Escrow:
    """IT's recovery data, opened: the private halves of the escrow key and of the ML-KEM key. Prints nothing."""

    __slots__ = ("_kem", "_lattice", "kem_public", "lattice_public")

    def __init__(self, seeds: Secret) -> None:
        raw = seeds.reveal()
        if len(raw) != 32 + 64:
            raise Forged(Refusal.MALFORMED)
        self._kem = algorithms.KemPrivate(raw[:32])
        self._lattice = raw[32:]
        self.kem_public: Final = self._kem.public
        self.lattice_public: Final = algorithms.lattice_public(self._lattice)

    def open(self, seal: RecoverySeal, of: RecoverySet) -> Half:
        """IT's half of one seal; Forged when it was made for another escrow key, set, zone or epoch."""
        if of.hash != seal.set_hash:
            raise Forged(Refusal.SWAPPED)
        inner = Fields(decoded(self._kem.open(seal.sealed, _outer_info(seal.context))))
        ephemeral, ciphertext, sealed = inner.octets("ephemeral"), inner.octets("lattice"), inner.octets("sealed")
        inner.done()
        return Half(seal.context, ephemeral, ciphertext, Secret(algorithms.lattice_open(self._lattice, ciphertext)), sealed)

    def __repr__(self) -> str:
        return "Escrow(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Private keys cannot be pickled.")


@dataclass(frozen=True, slots=True)
class RecoverySet:
    """Verified public keys of one card set."""

    name: str
    number: int  # counts the cards that this set has had
    curve: str
    card: bytes
    lattice: bytes
    escrow: bytes
    made: datetime
    hash: bytes


@dataclass(frozen=True, slots=True)
class RecoverySeal:
    """One epoch's key for one card set, as its officer signed it."""

    zone: str
    epoch: int
    set: str
    set_hash: bytes
    sealed: bytes
    context: bytes


@dataclass(frozen=True, slots=True)
class Half:
    """What IT gives to a ceremony: nothing can be opened with it without the card's secret for `ephemeral`."""

    context: bytes
    ephemeral: bytes
    ciphertext: bytes
    shared: Secret
    sealed: bytes

    def packed(self) -> bytes:
        parts = {"context": self.context, "ephemeral": self.ephemeral, "ciphertext": self.ciphertext}
        return encoded({**parts, "shared": self.shared.reveal(), "sealed": self.sealed})

    def open(self, of: RecoverySet, card_secret: Secret) -> Secret:
        """The zone key, with the card's ECDH secret; the caller compares it with the epoch's commitment."""
        key = _inner_key(of, self.context, self.ephemeral, self.ciphertext, card_secret.reveal(), self.shared.reveal())
        return Secret(algorithms.aead_open(key, self.sealed, self.context))


def unpacked_half(raw: bytes) -> Half:
    body = Fields(decoded(raw))
    half = Half(
        body.octets("context"), body.octets("ephemeral"), body.octets("ciphertext"), Secret(body.octets("shared")), body.octets("sealed")
    )
    body.done()
    return half


def new_escrow_seeds() -> Secret:
    """HPKE seed (32) | ML-KEM seed (64); kept only sealed, under the passphrase that IT has."""
    return Secret(algorithms.random(32 + 64))


def escrow_record(signer: envelope.Signer, *, trust: str, kem: bytes, lattice: bytes, made: datetime) -> bytes:
    """IT's public keys, signed by a certificate officer or the certificate root."""
    body = {"trust": trust, "kem": kem, "lattice": lattice, "made": _milliseconds(made)}
    return signer.sign(ESCROW_LABEL, body)


def verified_escrow(blob: bytes, offices: Offices) -> tuple[bytes, bytes]:
    """(escrow public key, ML-KEM public key), if somebody of the certificate office signed them."""
    signer = envelope.peek_signer(blob)
    public = offices.trust.certificate_root_public
    if signer != envelope.ROOT_CERTIFICATE:
        officer = offices.certificates.chained(envelope.certificate_hash(signer))
        if officer.office != Office.CERTIFICATE:
            raise Refused(Refusal.MANDATE_MISSING)
        public = officer.sign_public
    body = envelope.fields(ESCROW_LABEL, blob, public)
    if body.text("trust") != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    keys = body.octets("kem", algorithms.KEM_PUBLIC_BYTES), body.octets("lattice", algorithms.MLKEM768_PUBLIC_BYTES)
    body.number("made")
    body.done()
    return keys


def set_record(
    signer: envelope.Signer, *, trust: str, name: str, number: int, curve: str, card: bytes, lattice: bytes, escrow: bytes, made: datetime
) -> bytes:
    """A card set's public keys, signed by an access officer of the whole trust or the access root."""
    body = {"trust": trust, "set": name, "number": number, "curve": curve, "card": card}
    return signer.sign(SET_LABEL, {**body, "lattice": lattice, "escrow": escrow, "made": _milliseconds(made)})


def verified_set(blob: bytes, offices: Offices) -> RecoverySet:
    """A card set, if an access officer of the whole trust (when it was made), or the access root, signed it."""
    body = envelope.fields(SET_LABEL, blob, offices.claimed_key(blob))
    if body.text("trust") != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    found = RecoverySet(
        name=body.text("set"),
        number=body.number("number", low=1),
        curve=body.text("curve"),
        card=body.octets("card"),
        lattice=body.octets("lattice", algorithms.MLKEM768_PUBLIC_BYTES),
        escrow=body.octets("escrow", algorithms.KEM_PUBLIC_BYTES),
        made=body.moment("made"),
        hash=envelope.digest(blob),
    )
    body.done()
    if found.name not in SETS:
        raise Forged(Refusal.MALFORMED)
    offices.access_key(envelope.peek_signer(blob), zone=EVERY_ZONE, now=found.made)
    return found


def present_sets(blobs: tuple[bytes, ...], offices: Offices) -> dict[str, RecoverySet]:
    """The newest card of each set. One bad row takes nothing else away, and stops no epoch from being made."""
    found: dict[str, RecoverySet] = {}
    for blob in blobs:
        try:
            one = verified_set(blob, offices)
        except (Forged, Refused):  # named by whoever looks at how recovery stands
            continue
        if one.name not in found or one.number > found[one.name].number:
            found[one.name] = one
    return found


def seals_of_epoch(material: SealMaterial, keys: EpochKeys, signer: envelope.Signer, now: datetime) -> list[EpochSeal]:
    """The epoch's key for each card set that the trust has; none before recovery was founded."""
    return sealed_for(present_sets(material.records.get(RECORDS, ()), material.offices), material.trust, keys, signer, now)


def sealed_for(sets: Mapping[str, RecoverySet], trust: str, keys: EpochKeys, signer: envelope.Signer, now: datetime) -> list[EpochSeal]:
    return [EpochSeal(KIND, SETS.index(name), _seal(sets[name], trust, keys, signer, now)) for name in sorted(sets)]


def verified_seal(blob: bytes, offices: Offices) -> RecoverySeal:
    """Who may make a zone's epochs may seal them."""
    body = envelope.fields(SEAL_LABEL, blob, offices.claimed_key(blob))
    trust, zone, epoch, name = body.text("trust"), body.text("zone"), body.number("epoch", low=1), body.text("set")
    set_hash, sealed, made = body.octets("of", 32), body.octets("sealed"), body.moment("made")
    body.done()
    if trust != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    offices.access_key(envelope.peek_signer(blob), zone=zone, now=made)
    return RecoverySeal(zone, epoch, name, set_hash, sealed, _context(trust, zone, epoch, set_hash))


def canary(signer: envelope.Signer, *, trust: str, keys: EpochKeys, made: datetime) -> bytes:
    """A dossier of one known text, wrapped and sealed like every other: what a drill has to open."""
    key = new_dossier_key()
    wrapped = keys.wrap.seal(key.reveal(), _canary_wrap(trust, keys.zone, keys.epoch))
    sealed = DossierKey(CANARY_DOSSIER, 1, key).seal_version(trust, "Basic", "canary", 1, 0, CANARY_TEXT)
    body = {"trust": trust, "zone": keys.zone, "epoch": keys.epoch, "wrapped": wrapped, "sealed": sealed}
    return signer.sign(CANARY_LABEL, {**body, "made": _milliseconds(made)})


def open_canary(blob: bytes, keys: EpochKeys, offices: Offices) -> bytes:
    """The known text; Forged when the keys, or what lies under them, are not those of the canary."""
    body = envelope.fields(CANARY_LABEL, blob, offices.claimed_key(blob))
    trust, zone, epoch = body.text("trust"), body.text("zone"), body.number("epoch", low=1)
    wrapped, sealed = body.octets("wrapped"), body.octets("sealed")
    body.number("made")
    body.done()
    if trust != offices.trust.trust_id:
        raise Forged(Refusal.TRUST)
    if (zone, epoch) != (keys.zone, keys.epoch):
        raise Forged(Refusal.SWAPPED)
    key = Secret(keys.wrap.open(wrapped, _canary_wrap(trust, zone, epoch)))
    text = DossierKey(CANARY_DOSSIER, 1, key).open_version(trust, "Basic", "canary", 1, 0, sealed)
    if text != CANARY_TEXT:
        raise Forged(Refusal.SWAPPED)
    return text


def _canary_wrap(trust: str, zone: str, epoch: int) -> bytes:
    return packed("cloister/wrap/v1", trust, zone, epoch, CANARY_DOSSIER, 1)


def _seal(of: RecoverySet, trust: str, keys: EpochKeys, signer: envelope.Signer, now: datetime) -> bytes:
    context = _context(trust, keys.zone, keys.epoch, of.hash)
    ephemeral, curve_secret = algorithms.ecdh_towards(of.curve, of.card)
    lattice_secret, ciphertext = algorithms.lattice_seal(of.lattice)
    key = _inner_key(of, context, ephemeral, ciphertext, curve_secret, lattice_secret)
    inner = {"ephemeral": ephemeral, "lattice": ciphertext, "sealed": algorithms.aead_seal(key, keys.key.reveal(), context)}
    body: dict[str, Any] = {"trust": trust, "zone": keys.zone, "epoch": keys.epoch, "set": of.name, "of": of.hash}
    body["sealed"] = algorithms.kem_seal(of.escrow, encoded(inner), _outer_info(context))
    return signer.sign(SEAL_LABEL, {**body, "made": _milliseconds(now)})


def _inner_key(of: RecoverySet, context: bytes, ephemeral: bytes, ciphertext: bytes, curve_secret: bytes, lattice_secret: bytes) -> bytes:
    """Both secrets, and everything that they were made with: neither half alone tells anything about the key."""
    bound = algorithms.sha256(encoded([of.curve, of.card, of.lattice, context, ephemeral, ciphertext]))
    return algorithms.hkdf(curve_secret + lattice_secret, "cloister/recovery-key/v1", salt=bound)


def _context(trust: str, zone: str, epoch: int, set_hash: bytes) -> bytes:
    return encoded([SEAL_LABEL, trust, zone, epoch, set_hash])


def _outer_info(context: bytes) -> bytes:
    return OUTER_INFO + algorithms.sha256(context)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
