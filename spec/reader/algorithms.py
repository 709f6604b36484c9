"""Section 3: the algorithms. HPKE and its hybrid KEM are written out here from RFC 9180 and the KEM's definition in the spec."""

from __future__ import annotations

import hashlib
import hmac as hmac_module
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from spec.reader.refused import Refused, need

SUITE = b"HPKE" + bytes.fromhex("647a00010002")
LABEL = bytes.fromhex("5c2e2f2f5e5c")  # of the hybrid KEM


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def mac(key: bytes, raw: bytes) -> bytes:
    return hmac_module.digest(key, raw, "sha256")


def expand(key: bytes, info: bytes, length: int) -> bytes:
    out, block = b"", b""
    for n in range(1, -(-length // 32) + 1):
        block = mac(key, block + info + bytes([n]))
        out += block
    return out[:length]


def hkdf(key: bytes, label: str, length: int = 32) -> bytes:
    return expand(mac(bytes(32), key), label.encode(), length)


def unseal(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    need(len(sealed) >= 28, "tag")
    return gcm(key, sealed[:12], sealed[12:], aad)


def gcm(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused("tag") from None


class Kem:
    """An HPKE key pair of a 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        both = hashlib.shake_256(seed).digest(96)
        self.lattice, self.curve = MLKEM768PrivateKey.from_seed_bytes(both[:64]), X25519PrivateKey.from_private_bytes(both[64:])
        self.curve_public = self.curve.public_key().public_bytes_raw()
        self.public = self.lattice.public_key().public_bytes_raw() + self.curve_public

    def shared(self, enc: bytes) -> bytes:
        lattice = self.lattice.decapsulate(enc[:1088])
        try:
            curve = self.curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        except ValueError:  # a point of low order
            raise Refused("tag") from None
        return hashlib.sha3_256(lattice + curve + enc[1088:] + self.curve_public + LABEL).digest()

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """RFC 9180 5.1 and 5.2 in base mode, for one message with empty AAD."""
        need(len(sealed) >= 1120 + 16, "tag")
        enc, ciphertext = sealed[:1120], sealed[1120:]
        context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
        secret = extract(self.shared(enc), b"secret", b"")
        return gcm(derived(secret, b"key", context, 32), derived(secret, b"base_nonce", context, 12), ciphertext, b"")


def extract(salt: bytes, label: bytes, key: bytes) -> bytes:
    return mac(salt or bytes(32), b"HPKE-v1" + SUITE + label + key)


def derived(key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + info, length)


def small_order(public: bytes) -> bool:
    """Of the points of order 1, 2, 4 and 8 as the spec lists them: canonical or not, with either sign."""
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    p = 2**255 - 19
    return (
        y in (0, 1, p - 1, p, p + 1)
        or public[:31].hex()
        in (
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03",
        )
        and public[31] & 0x7F in (0x05, 0x7A)
    )


def check_signature(public: bytes, message: bytes, signature: bytes) -> None:
    need(not small_order(public), "signature")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused("signature") from None


def sign_public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def argon2id(text: bytes, salt: bytes, passes: int, memory_kib: int, lanes: int) -> bytes:
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib).derive(text)


def raw(given: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(given[name]) for name in names]


def signing(given: dict[str, Any]) -> dict[str, Any]:
    seed, message = raw(given, "seed", "message")
    return {"public": sign_public(seed), "signature": Ed25519PrivateKey.from_private_bytes(seed).sign(message)}


def verifying(given: dict[str, Any]) -> dict[str, Any]:
    check_signature(*raw(given, "public", "message", "signature"))
    return {}


def opening(given: dict[str, Any]) -> dict[str, Any]:
    seed, sealed, info = raw(given, "seed", "sealed", "info")
    return {"plain": Kem(seed).open(sealed, info)}


FORMATS = {
    "hkdf": lambda given: {"out": hkdf(*raw(given, "key"), given["label"])},
    "mac": lambda given: {"out": mac(*raw(given, "key", "message"))},
    "aead": lambda given: {"plain": unseal(*raw(given, "key", "sealed", "aad"))},
    "hpke-public": lambda given: {"public": Kem(*raw(given, "seed")).public},
    "hpke": opening,
    "sign": signing,
    "verify": verifying,
}
