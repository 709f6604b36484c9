"""One envelope for everything signed. Spec: docs/spec/zones.md 4.

[label, algorithm, signer, body, signature] in deterministic CBOR; the signature is over the encoding of
[label, algorithm, signer, body]. `opened` returns the body only when label, algorithm and signature hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.cbor import Fields, decoded, encoded
from cloister.zones.refusals import Forged, Refusal

ED25519: Final = 1  # 2 is kept for Ed25519 with ML-DSA-65; a reader of this version refuses it


ROOT_CERTIFICATE: Final = "root/certificate"
ROOT_ACCESS: Final = "root/access"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: a person by the hex hash of the certificate, or one of the two roots."""

    id: str
    key: algorithms.SignPrivate

    def sign(self, label: str, body: dict[str, Any]) -> bytes:
        raw = encoded(body)
        return encoded([label, ED25519, self.id, raw, self.key.sign(encoded([label, ED25519, self.id, raw]))])


def certificate_root(seed: Secret) -> Signer:
    return Signer(ROOT_CERTIFICATE, algorithms.SignPrivate(seed.reveal()))


def access_root(seed: Secret) -> Signer:
    return Signer(ROOT_ACCESS, algorithms.SignPrivate(seed.reveal()))


def person_signer(certificate_hash: bytes, key: algorithms.SignPrivate) -> Signer:
    return Signer(certificate_hash.hex(), key)


def signed(label: str, signer: str, body: dict[str, Any], sign_seed: bytes) -> bytes:
    return Signer(signer, algorithms.SignPrivate(sign_seed)).sign(label, body)


def opened(label: str, blob: bytes, public: bytes) -> dict[str, Any]:
    """The body that the holder of `public` signed under `label`; raises Forged otherwise."""
    found, algorithm, signer, raw, signature = _split(blob)
    if found != label:
        raise Forged(Refusal.LABEL)
    if algorithm != ED25519:
        raise Forged(Refusal.ALGORITHM)
    algorithms.verify(public, encoded([found, algorithm, signer, raw]), signature)
    body = decoded(raw)
    if not isinstance(body, dict):
        raise Forged(Refusal.MALFORMED)
    return body


def fields(label: str, blob: bytes, public: bytes) -> Fields:
    return Fields(opened(label, blob, public))


def peek_signer(blob: bytes) -> str:
    """Who claims to have signed: only good for finding the key to verify with."""
    return _split(blob)[2]


def peek_label(blob: bytes) -> str:
    return _split(blob)[0]


def peek_body(blob: bytes) -> dict[str, Any]:
    """The unverified body: only good for sorting what will be verified before it is used."""
    body = decoded(_split(blob)[3])
    if not isinstance(body, dict):
        raise Forged(Refusal.MALFORMED)
    return body


def certificate_hash(signer: str) -> bytes:
    """The certificate that a signer id means; Forged(malformed) for anything but its one spelling."""
    try:
        hashed = bytes.fromhex(signer)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None
    if len(hashed) != 32 or hashed.hex() != signer:
        raise Forged(Refusal.MALFORMED)
    return hashed


def bound(label: str, signer: str, body: dict[str, Any]) -> bytes:
    """The HPKE `info` for what is sealed inside a signed body: the label, and a hash of who signs and all else that the body says."""
    rest = {name: value for name, value in body.items() if name != "sealed"}
    return label.encode() + b"|" + algorithms.sha256(encoded([label, signer, rest]))


def digest(blob: bytes) -> bytes:
    return algorithms.sha256(blob)


def _split(blob: bytes) -> tuple[str, int, str, bytes, bytes]:
    parts = decoded(blob)
    if not isinstance(parts, list) or len(parts) != 5:
        raise Forged(Refusal.MALFORMED)
    label, algorithm, signer, raw, signature = parts
    if not isinstance(label, str) or not isinstance(signer, str) or not isinstance(raw, bytes) or not isinstance(signature, bytes):
        raise Forged(Refusal.MALFORMED)
    if not isinstance(algorithm, int) or isinstance(algorithm, bool):
        raise Forged(Refusal.MALFORMED)
    return label, algorithm, signer, raw, signature
