"""One operation of a card, and what becomes of it: a half that only this card gives, for one unlocker. docs/spec/zones.md 5.1.

Written a second time beside room zones, on purpose: the workstation has Python and a PKCS#11 module, nothing else. The vectors
of the specification bind the two. A card's own answer (a shared secret, a decryption, a signature) never leaves this file.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.workstation import lattice, pkcs11
from cloister.workstation.faults import CardFault
from cloister.workstation.pkcs11 import Module, Refusal, Session, Token
from cloister.workstation.x509 import Certificate

HALF: Final = "cloister/card/v1/half"
SEED_LABEL: Final = b"cloister/card/v1/ml-kem-768"
SECRET_BYTES: Final = 32
POINT_BYTES: Final = {"P-256": 65, "P-384": 97}
# p and b of y^2 = x^3 - 3x + b (SP 800-186 3.2.1)
CURVES: Final = {
    "P-256": (
        0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "P-384": (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
}
OAEP: Final = {"oaep-sha256": (pkcs11.CKM_SHA256, pkcs11.MGF1_SHA256), "oaep-sha1": (pkcs11.CKM_SHA_1, pkcs11.MGF1_SHA1)}
HASHES: Final = {"oaep-sha256": hashlib.sha256, "oaep-sha1": hashlib.sha1}
PADDINGS: Final = ("oaep-sha256", "oaep-sha1", "pkcs1")  # the best first; OAEP needs no collision resistance of its hash
NUMBERS: Final = ("not_after", "passes", "memory_kib", "lanes")
DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # SHA-256 (RFC 8017 9.2)


@dataclass(frozen=True, slots=True)
class Use:
    """Whose unlocker, of which trust: what a half is bound to."""

    trust: str
    person: str
    unlocker: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A card that may be asked: logged in, and its private key found."""

    session: Session
    key: int
    certificate: Certificate
    mechanisms: frozenset[int]


def check_valid(not_after: int, now: datetime) -> None:
    if now.timestamp() * 1000 >= not_after:
        raise CardFault("card-expired")


def unlock(asked: Asked, use: Use, params: dict[str, Any]) -> bytes:
    """The half of this unlocker. Whatever does not fit has one answer, other-card: nothing tells which step failed."""
    if params.get("key") != asked.certificate.key or params.get("trust") != use.trust:
        raise CardFault("other-card")
    if not all(isinstance(value, str) for name, value in params.items() if name not in NUMBERS):
        raise CardFault("request")
    try:
        match params["profile"]:
            case "a":
                first, second = _derived(asked, params), _lattice_secret(asked.session, params)
            case "b":
                first, second = _decrypted(asked, params), b""
            case "c":
                first, second = _signed(asked, use), b""
            case _:
                raise CardFault("request")
    except (KeyError, ValueError):
        raise CardFault("request") from None
    return half(use, params, first, second)


def enrol(asked: Asked, use: Use, *, paddings: tuple[str, ...] = PADDINGS) -> tuple[dict[str, Any], bytes]:
    """Parameters of a new unlocker by the best profile that this card has, and its half. Of profile c without the passphrase's cost."""
    certificate, session = asked.certificate, asked.session
    params: dict[str, Any] = {"trust": use.trust, "key": certificate.key, "not_after": certificate.not_after}
    able = {kind: session.attribute(asked.key, kind) == b"\x01" for kind in (pkcs11.DERIVE, pkcs11.DECRYPT, pkcs11.SIGN)}
    if certificate.curve and able[pkcs11.DERIVE] and pkcs11.CKM_ECDH1_DERIVE in asked.mechanisms:
        seed = _seed(session) or _new_seed(session)
        _, sealed = lattice.encapsulate(lattice.public_of(seed), os.urandom(32))
        params |= {"profile": "a", "curve": certificate.curve, "point": random_point(certificate.curve).hex(), "kem": sealed.hex()}
    elif certificate.modulus and able[pkcs11.DECRYPT]:
        params |= {"profile": "b", **_wrapped(asked, paddings)}
    elif certificate.modulus and able[pkcs11.SIGN]:
        params |= {"profile": "c"}
    else:
        raise CardFault("no-certificate")
    return params, unlock(asked, use, params)


# --- profile a: ECDH on the card, ML-KEM-768 beside it ---------------------------------------------------


def random_point(curve: str) -> bytes:
    """A point whose private half nobody has ever had: x at random, until the curve has a y for it."""
    p, b = CURVES[curve]
    size = (POINT_BYTES[curve] - 1) // 2
    while True:
        x = int.from_bytes(os.urandom(size), "big")
        square = (x * x * x - 3 * x + b) % p
        y = pow(square, (p + 1) // 4, p)  # p = 3 mod 4
        if x < p and y * y % p == square:
            y = p - y if os.urandom(1)[0] & 1 else y
            return b"\x04" + x.to_bytes(size, "big") + y.to_bytes(size, "big")


def _derived(asked: Asked, params: dict[str, Any]) -> bytes:
    curve, point = asked.certificate.curve, bytes.fromhex(params["point"])
    if params["curve"] != curve or not _on_curve(curve, point):
        raise CardFault("other-card")
    size = (len(point) - 1) // 2
    shared = asked.session.derive(asked.key, point, size)
    if len(shared) != size:
        raise CardFault("card-broken")
    return shared


def _on_curve(curve: str, point: bytes) -> bool:
    """A card that is asked with a point of another curve could give its key away piece by piece."""
    if len(point) != POINT_BYTES[curve] or point[0] != 4:
        return False
    p, b = CURVES[curve]
    size = len(point) // 2
    x, y = int.from_bytes(point[1 : 1 + size], "big"), int.from_bytes(point[1 + size :], "big")
    return x < p and y < p and (y * y - (x * x * x - 3 * x + b)) % p == 0


def _lattice_secret(session: Session, params: dict[str, Any]) -> bytes:
    seed, sealed = _seed(session), bytes.fromhex(params["kem"])
    if seed is None or len(sealed) != lattice.CIPHERTEXT_BYTES:
        raise CardFault("other-card")
    return lattice.decapsulate(seed, sealed)


def _seed(session: Session) -> bytes | None:
    """The ML-KEM seed that this card keeps behind its PIN."""
    for thing in session.find({pkcs11.CLASS: pkcs11.DATA, pkcs11.LABEL: SEED_LABEL, pkcs11.PRIVATE: True}):
        seed = session.attribute(thing, pkcs11.VALUE)
        if len(seed) == lattice.SEED_BYTES:
            return seed
    return None


def _new_seed(session: Session) -> bytes:
    seed = os.urandom(lattice.SEED_BYTES)
    place: pkcs11.Template = {pkcs11.CLASS: pkcs11.DATA, pkcs11.TOKEN: True, pkcs11.PRIVATE: True, pkcs11.LABEL: SEED_LABEL}
    try:
        session.create({**place, pkcs11.APPLICATION: b"cloister", pkcs11.VALUE: seed})
    except Refusal as refused:
        if refused.value in pkcs11.GONE - {0x31}:  # 0x31: no room for it
            raise
        raise CardFault("card-no-room") from None
    return seed


# --- profile b: a wrapped secret ---------------------------------------------------------------------


def _wrapped(asked: Asked, paddings: tuple[str, ...]) -> dict[str, Any]:
    """By the first padding that this card undoes: what a module lists is not always what it does."""
    secret = os.urandom(SECRET_BYTES)
    for padding in paddings:
        wrapped = _encrypted(asked.certificate, secret, padding)
        params = {"padding": padding, "wrapped": wrapped.hex(), "commitment": _hkdf(secret, "cloister/card/v1/commitment").hex()}
        try:
            if _decrypted(asked, params) == secret:
                return params
        except CardFault as fault:
            if fault.reason != "other-card":
                raise
    raise CardFault("no-certificate")


def _decrypted(asked: Asked, params: dict[str, Any]) -> bytes:
    """The wrapped secret. A padding that was not good ends as a secret that nobody committed to: one answer, one path."""
    padding, wrapped = params["padding"], bytes.fromhex(params["wrapped"])
    if padding not in PADDINGS or len(wrapped) != _size(asked.certificate):
        raise CardFault("request")
    mechanism = pkcs11.CKM_RSA_PKCS if padding == "pkcs1" else pkcs11.CKM_RSA_PKCS_OAEP
    instead = os.urandom(SECRET_BYTES)
    try:
        secret = asked.session.decrypt(asked.key, wrapped, mechanism, OAEP.get(padding))
    except Refusal as refused:
        if refused.value in pkcs11.GONE - {0x30}:  # 0x30, device error: also what some cards say of a padding
            raise
        secret = b""
    secret = secret if len(secret) == SECRET_BYTES else instead
    if not hmac.compare_digest(_hkdf(secret, "cloister/card/v1/commitment").hex(), params["commitment"]):
        raise CardFault("other-card")
    return secret


def _encrypted(certificate: Certificate, secret: bytes, padding: str) -> bytes:
    """RSAES-OAEP or RSAES-PKCS1-v1_5 (RFC 8017 7.1.1, 7.2.1) under the card's public key."""
    size = _size(certificate)
    if padding == "pkcs1":
        filler = bytes(1 + os.urandom(1)[0] % 255 for _ in range(size - len(secret) - 3))
        block = b"\0\2" + filler + b"\0" + secret
    else:
        new = HASHES[padding]
        length = new().digest_size
        data = new().digest() + bytes(size - len(secret) - 2 * length - 2) + b"\1" + secret
        seed = os.urandom(length)
        masked = _xor(data, _mgf1(seed, len(data), padding))
        block = b"\0" + _xor(seed, _mgf1(masked, length, padding)) + masked
    return pow(int.from_bytes(block, "big"), certificate.exponent, certificate.modulus).to_bytes(size, "big")


def _mgf1(seed: bytes, size: int, padding: str) -> bytes:
    out, counter = b"", 0
    while len(out) < size:
        out, counter = out + HASHES[padding](seed + counter.to_bytes(4, "big")).digest(), counter + 1
    return out[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _size(certificate: Certificate) -> int:
    return (certificate.modulus.bit_length() + 7) // 8


# --- profile c: the one possible signature of a text -----------------------------------------------------


def _signed(asked: Asked, use: Use) -> bytes:
    """RSASSA-PKCS1-v1_5 with SHA-256: it has no random part, so that the same card gives the same bytes for ever."""
    text = text_to_sign(use, asked.certificate.key)
    info = DIGEST_INFO + hashlib.sha256(text).digest()
    if pkcs11.CKM_SHA256_RSA_PKCS in asked.mechanisms:
        signature = asked.session.sign(asked.key, text, pkcs11.CKM_SHA256_RSA_PKCS)
    else:
        signature = asked.session.sign(asked.key, info, pkcs11.CKM_RSA_PKCS)
    size = _size(asked.certificate)
    expected = b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
    found = pow(int.from_bytes(signature, "big"), asked.certificate.exponent, asked.certificate.modulus)
    if len(signature) != size or found != int.from_bytes(expected, "big"):
        raise CardFault("card-broken")
    return signature


def text_to_sign(use: Use, key: str) -> bytes:
    """The one text that a card of profile c is ever given here."""
    return packed("cloister/card/v1/sign", use.trust, use.person, use.unlocker, key)


# --- the half ------------------------------------------------------------------------------------------


def half(use: Use, params: dict[str, Any], first: bytes, second: bytes = b"") -> bytes:
    public = bytes.fromhex("".join(params.get(name, "") for name in ("point", "kem", "wrapped")))
    bound = packed(HALF, use.trust, use.person, use.unlocker, params["profile"], params["key"], public, first, second)
    return _hkdf(bound, HALF)


def packed(*parts: str | bytes) -> bytes:
    """docs/spec/zones.md 2."""
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)


def _hkdf(key: bytes, label: str) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes."""
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), label.encode() + b"\1", "sha256")


# --- finding a card --------------------------------------------------------------------------------------


def asked_of(module: Module, session: Session, token: Token, certificate: Certificate) -> Asked:
    keys = session.find({pkcs11.CLASS: pkcs11.PRIVATE_KEY, pkcs11.ID: certificate.id})
    if not keys:
        raise CardFault("no-certificate")
    return Asked(session, keys[0], certificate, module.mechanisms(token.slot))
