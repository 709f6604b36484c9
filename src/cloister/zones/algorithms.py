"""The primitives, each by one name: the built-in list of algorithms. Spec: docs/spec/zones.md 3.

AES-256-GCM (SP 800-38D), HPKE base mode (RFC 9180) with MLKEM768-X25519 (0x647a), HKDF-SHA-256 and
AES-256-GCM, Ed25519 (RFC 8032), HKDF-SHA-256 (RFC 5869), HMAC-SHA-256, Argon2id (RFC 9106); for keys that live
in cards ECDH on P-256 and P-384 (SP 800-56A), beside ML-KEM-768 (FIPS 203) in software; RS384 and ES384 (RFC 7518)
prove programs to the door, and protect nothing that is stored.
With certificates.py and two files of room machines the only file that imports `cryptography`. No algorithm is ever read from an object.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

import cryptography.hazmat.backends.openssl.backend  # noqa: F401  else imported at a first use, when no file can be read any more
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from cloister.base.errors import Invalid
from cloister.zones.refusals import Forged, Refusal

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
MLKEM768_PUBLIC_BYTES: Final = 1184
KEM_PUBLIC_BYTES: Final = MLKEM768_PUBLIC_BYTES + 32
KEM_ENC_BYTES: Final = 1088 + 32
SIGNATURE_BYTES: Final = 64
RSA_BITS_MIN: Final = 2048
ZERO_SALT: Final = bytes(32)  # RFC 5869 2.2: an absent salt is a string of zeros

# OpenSSL computes the lanes in one pool of threads; two derivations at once wait for each other there for ever.
_one_derivation: Final = threading.Lock()
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def random(n: int) -> bytes:
    return os.urandom(n)


def sha256(b: bytes) -> bytes:
    return hashlib.sha256(b).digest()


def hmac256(key: bytes, b: bytes) -> bytes:
    return hmac.digest(key, b, "sha256")


def hmac512(key: bytes, b: bytes) -> bytes:
    return hmac.digest(key, b, "sha512")


def same(a: bytes, b: bytes) -> bool:
    """Compared in a time that does not depend on where they differ."""
    return hmac.compare_digest(a, b)


def hkdf(key: bytes, label: str, *, length: int = 32, salt: bytes = b"") -> bytes:
    """RFC 5869 with SHA-256; `label` is the info. WebCrypto's deriveBits gives the same bytes."""
    if not 0 < length <= 255 * 32:
        raise Invalid("HKDF gives 1 to 8160 bytes.")
    pseudorandom = hmac.digest(salt or ZERO_SALT, key, "sha256")
    info = label.encode()
    block = hmac.digest(pseudorandom, info + b"\x01", "sha256")
    out = block
    counter = 1
    while len(out) < length:
        counter += 1
        block = hmac.digest(pseudorandom, block + info + bytes((counter,)), "sha256")
        out += block
    return out[:length]


class Aead:
    """AES-256-GCM under one key, kept while the key is in use: constructing it costs more than a seal.

    Random 96-bit nonces: at most 2**32 seals under one key (SP 800-38D 8.3), which a dossier's key never nears.
    """

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise Forged(Refusal.MALFORMED)
        cipher = AESGCM(key)
        self._encrypt: Callable[[bytes, bytes, bytes], bytes] = cipher.encrypt
        self._decrypt: Callable[[bytes, bytes, bytes], bytes] = cipher.decrypt

    def seal(self, plain: bytes, aad: bytes) -> bytes:
        """nonce (12) | ciphertext | tag (16)."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._encrypt(nonce, plain, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        try:
            return self._decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
        except (InvalidTag, ValueError):  # ValueError: a nonce cut short
            raise Forged(Refusal.TAG) from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


class Mac:
    """HMAC-SHA-256 under one key, kept while the key is in use: beginning with a key costs more than the sum of a short text."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        self._begun = hmac.new(key, digestmod="sha256")

    def of(self, b: bytes) -> bytes:
        one = self._begun.copy()
        one.update(b)
        return one.digest()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


class InPlaceAead:
    """AES-256-GCM from buffer to buffer, for blocks of files: no byte is copied on the way."""

    __slots__ = ("_open", "_seal")

    def __init__(self, key: bytes) -> None:
        cipher = AESGCM(key)
        self._seal: Callable[..., int] = cipher.encrypt_into
        self._open: Callable[..., int] = cipher.decrypt_into

    def seal_into(self, plain: bytes | bytearray | memoryview, aad: bytes, out: memoryview) -> int:
        """nonce (12) | ciphertext | tag (16) into `out`, which has exactly that length; returns it."""
        nonce = os.urandom(NONCE_BYTES)
        out[:NONCE_BYTES] = nonce
        return NONCE_BYTES + self._seal(nonce, plain, aad, out[NONCE_BYTES:])

    def open_into(self, sealed: memoryview, aad: bytes, out: memoryview) -> int:
        """The plaintext into `out`, which has exactly its length; returns that. Forged(tag) otherwise, and `out` is zeros."""
        try:
            return self._open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad, out)
        except (InvalidTag, ValueError):
            out[:] = bytes(len(out))
            raise Forged(Refusal.TAG) from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


class Siv:
    """AES-SIV (RFC 5297) with a 64-byte key: the same name in the same folder always gives the same bytes."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(key)

    def seal(self, plain: bytes, aad: bytes) -> bytes:
        """synthetic IV (16) | ciphertext."""
        return self._cipher.encrypt(plain, [aad])

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed, [aad])
        except (InvalidTag, ValueError):
            raise Forged(Refusal.TAG) from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


def aead_seal(key: bytes, plain: bytes, aad: bytes) -> bytes:
    return Aead(key).seal(plain, aad)


def aead_open(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    return Aead(key).open(sealed, aad)


class KemPrivate:
    """The private half of an HPKE key pair, from its 32-byte seed (draft-ietf-hpke-pq: SHAKE256(seed, 96)).

    `cryptography` cannot serialise hybrid private keys, so the seed is what is kept.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise Forged(Refusal.MALFORMED)
        expanded = hashlib.shake_256(seed).digest(96)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._key = hpke.MLKEM768X25519PrivateKey(lattice, curve)
        self.public: Final = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext of enc (1120) | ciphertext | tag; Forged(tag) for anything else."""
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise Forged(Refusal.TAG) from None

    def __repr__(self) -> str:
        return "KemPrivate(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


def kem_public(seed: bytes) -> bytes:
    """ML-KEM-768 public key (1184) | X25519 public key (32)."""
    return KemPrivate(seed).public


def kem_seal(public: bytes, plain: bytes, info: bytes) -> bytes:
    """HPKE single-shot, base mode: enc (1120) | ciphertext | tag (16). All context is in `info`; there is no AAD."""
    if len(public) != KEM_PUBLIC_BYTES:
        raise Forged(Refusal.MALFORMED)
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public[:MLKEM768_PUBLIC_BYTES])
        curve = X25519PublicKey.from_public_bytes(public[MLKEM768_PUBLIC_BYTES:])
        return _SUITE.encrypt(plain, hpke.MLKEM768X25519PublicKey(lattice, curve), info)
    except ValueError:  # FIPS 203 7.2: a modulus check failed; RFC 7748 6.1: an all-zero secret
        raise Forged(Refusal.MALFORMED) from None


def kem_open(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    return KemPrivate(seed).open(sealed, info)


class SignPrivate:
    """An Ed25519 private key from its 32-byte seed, kept while it is in use."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise Forged(Refusal.MALFORMED)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: Final = self._key.public_key().public_bytes_raw()

    def sign(self, msg: bytes) -> bytes:
        return self._key.sign(msg)

    def __repr__(self) -> str:
        return "SignPrivate(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


def sign_public(seed: bytes) -> bytes:
    return SignPrivate(seed).public


def sign(seed: bytes, msg: bytes) -> bytes:
    return SignPrivate(seed).sign(msg)


# y-coordinates of the points of order 1, 2, 4 and 8, canonical or not, without the sign bit. Under such a public key anybody
# can sign anything: it would be a name that denies what it wrote.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(one)
    for one in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


def sound_public(public: bytes) -> bool:
    """Whether this can be somebody's Ed25519 key: not a point of small order."""
    return len(public) == 32 and public[:31] + bytes((public[31] & 0x7F,)) not in _SMALL_ORDER


@lru_cache(maxsize=4096)
def _verifier(public: bytes) -> Ed25519PublicKey:
    if not sound_public(public):
        raise Forged(Refusal.SIGNATURE)
    return Ed25519PublicKey.from_public_bytes(public)


def verify(public: bytes, msg: bytes, signature: bytes) -> None:
    """Returns when `signature` is the holder's of `public` over `msg`; raises Forged(signature) otherwise."""
    try:
        _verifier(bytes(public)).verify(signature, msg)
    except (InvalidSignature, ValueError):
        raise Forged(Refusal.SIGNATURE) from None


class MlDsaPrivate:
    """An ML-DSA-65 private key (FIPS 204) from its 32-byte seed: the hourly signature of the audit log."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise Forged(Refusal.MALFORMED)
        self._key = MLDSA65PrivateKey.from_seed_bytes(seed)
        self.public: Final = self._key.public_key().public_bytes_raw()

    def sign(self, msg: bytes) -> bytes:
        return self._key.sign(msg)

    def __repr__(self) -> str:
        return "MlDsaPrivate(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key cannot be pickled.")


def verify_ml_dsa(public: bytes, msg: bytes, signature: bytes) -> None:
    """As `verify`, for ML-DSA-65."""
    try:
        MLDSA65PublicKey.from_public_bytes(bytes(public)).verify(signature, msg)
    except (InvalidSignature, ValueError):
        raise Forged(Refusal.SIGNATURE) from None


def argon2id(passphrase: bytes, salt: bytes, *, passes: int = 3, memory_kib: int = 65536, lanes: int = 4) -> bytes:
    """RFC 9106, 32 bytes. The defaults are its second recommended set; floors are the caller's (unlockers.py)."""
    with _one_derivation:
        return Argon2id(salt=salt, length=KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib).derive(passphrase)


# --- the halves of a key that is part card, part software ---------------------------------------------

P256: Final = "P-256"
P384: Final = "P-384"
_CURVES: Final[dict[str, ec.EllipticCurve]] = {P256: ec.SECP256R1(), P384: ec.SECP384R1()}


def _curve(name: str) -> ec.EllipticCurve:
    if name not in _CURVES:
        raise Forged(Refusal.ALGORITHM)
    return _CURVES[name]


def _point(curve: str, public: bytes) -> ec.EllipticCurvePublicKey:
    """An uncompressed point (SEC 1, 2.3.4); one that is not on the curve is Forged(malformed)."""
    known = _curve(curve)
    if len(public) != 1 + 2 * ((known.key_size + 7) // 8):
        raise Forged(Refusal.MALFORMED)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(known, public)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


def _raw_point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def ecdh_new(curve: str) -> bytes:
    """A private scalar, big-endian; for keys that are kept in software."""
    known = _curve(curve)
    return ec.generate_private_key(known).private_numbers().private_value.to_bytes((known.key_size + 7) // 8, "big")


def _scalar(curve: str, private: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        return ec.derive_private_key(int.from_bytes(private, "big"), _curve(curve))
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


def ecdh_public(curve: str, private: bytes) -> bytes:
    return _raw_point(_scalar(curve, private).public_key())


def ecdh(curve: str, private: bytes, public: bytes) -> bytes:
    """The x-coordinate, as CKM_ECDH1_DERIVE gives it without a derivation function; never a key by itself."""
    return _scalar(curve, private).exchange(ec.ECDH(), _point(curve, public))


def ecdh_towards(curve: str, public: bytes) -> tuple[bytes, bytes]:
    """(ephemeral public key, shared secret) towards the holder of `public`."""
    there = _point(curve, public)
    ephemeral = ec.generate_private_key(_curve(curve))
    return _raw_point(ephemeral.public_key()), ephemeral.exchange(ec.ECDH(), there)


def lattice_public(seed: bytes) -> bytes:
    """ML-KEM-768 alone (FIPS 203), from the 64-byte seed d | z: the half that stands beside a card."""
    return _lattice(seed).public_key().public_bytes_raw()


def lattice_seal(public: bytes) -> tuple[bytes, bytes]:
    """A fresh shared secret, and its ciphertext for the holder of `public`."""
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


def lattice_open(seed: bytes, sealed: bytes) -> bytes:
    """The shared secret; of another ciphertext another secret (implicit rejection, 6.3)."""
    try:
        return _lattice(seed).decapsulate(sealed)
    except ValueError:
        raise Forged(Refusal.MALFORMED) from None


def _lattice(seed: bytes) -> MLKEM768PrivateKey:
    if len(seed) != 64:
        raise Forged(Refusal.MALFORMED)
    return MLKEM768PrivateKey.from_seed_bytes(seed)


# --- signatures of programs (RFC 7518): whoever signs is outside, so the two that SMART names are taken ---------------


def program_key(pem: bytes) -> tuple[Any, dict[str, str]]:
    """A program's private key (RSA, or P-384) and its public half as a JWK (RFC 7517); raises Invalid for any other."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Invalid("This is no private key in PEM.", hint="Make one with `cloister program key FILE`.") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_BITS_MIN:
        numbers = key.public_key().public_numbers()
        return key, {"kty": "RSA", "n": _base64url(numbers.n, -(-key.key_size // 8)), "e": _base64url(numbers.e, 3), "alg": "RS384"}
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        point = key.public_key().public_numbers()
        return key, {"kty": "EC", "crv": "P-384", "x": _base64url(point.x, 48), "y": _base64url(point.y, 48), "alg": "ES384"}
    raise Invalid("This key is of no kind that programs use.", hint=f"Use RSA of {RSA_BITS_MIN} bits or more, or P-384.")


def new_program_key() -> bytes:
    """A new P-384 key in PEM (PKCS #8), for ES384."""
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def program_sign(key: Any, body: bytes) -> bytes:
    """A JWS signature (RFC 7515): RS384, or ES384 with R and S side by side (RFC 7518 3.4)."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(body, padding.PKCS1v15(), hashes.SHA384())
    r, s = decode_dss_signature(key.sign(body, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def program_verify(jwk: Mapping[str, Any], body: bytes, signature: bytes) -> None:
    """Returns when this JWK signed it; Forged(signature) otherwise, Forged(malformed) for a key of no kind that programs use.

    The algorithm follows from the key, never from what was sent (RFC 8725 3.1).
    """
    try:
        if jwk.get("kty") == "RSA":
            rsa_key = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
            if rsa_key.key_size < RSA_BITS_MIN:
                raise Forged(Refusal.MALFORMED)
            rsa_key.verify(signature, body, padding.PKCS1v15(), hashes.SHA384())
            return
        if jwk.get("kty") == "EC" and jwk.get("crv") == "P-384" and len(signature) == 96:
            point = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP384R1()).public_key()
            sides = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
            point.verify(encode_dss_signature(*sides), body, ec.ECDSA(hashes.SHA384()))
            return
    except InvalidSignature:
        raise Forged(Refusal.SIGNATURE) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Forged(Refusal.MALFORMED) from None
    raise Forged(Refusal.MALFORMED)


def _base64url(number: int, size: int) -> str:
    raw = number.to_bytes(size, "big")
    return base64.urlsafe_b64encode(raw.lstrip(b"\0") if size == 3 else raw).rstrip(b"=").decode()


def _number(text: str) -> int:
    return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")
