"""A person's private keys, kept as two seeds sealed under the unlock key. Spec: docs/spec/zones.md 6."""

from __future__ import annotations

from typing import Final, NoReturn

from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal

COMMITMENT_BYTES: Final = 32


class Bundle:
    """One person's HPKE and signing keys. Prints nothing, pickles not."""

    __slots__ = ("_kem", "_sign", "kem_seed", "person", "sign_seed")

    def __init__(self, person: str, kem_seed: Secret, sign_seed: Secret) -> None:
        self.person = person
        self.kem_seed = kem_seed
        self.sign_seed = sign_seed
        self._kem: algorithms.KemPrivate | None = None
        self._sign: algorithms.SignPrivate | None = None

    @property
    def kem(self) -> algorithms.KemPrivate:
        if self._kem is None:
            self._kem = algorithms.KemPrivate(self.kem_seed.reveal())
        return self._kem

    @property
    def signing(self) -> algorithms.SignPrivate:
        if self._sign is None:
            self._sign = algorithms.SignPrivate(self.sign_seed.reveal())
        return self._sign

    @property
    def kem_public(self) -> bytes:
        return self.kem.public

    @property
    def sign_public(self) -> bytes:
        return self.signing.public

    def __repr__(self) -> str:
        return f"Bundle({self.person!r}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Private keys cannot be pickled.")


def new_bundle(person: str) -> Bundle:
    return Bundle(person, Secret(algorithms.random(32)), Secret(algorithms.random(32)))


def new_unlock_key() -> Secret:
    return Secret(algorithms.random(32))


def seal_bundle(bundle: Bundle, unlock_key: Secret) -> bytes:
    """commitment (32) | nonce (12) | sealed kem seed, sign seed (64) | tag (16)."""
    commitment, key = _keys(unlock_key)
    plain = bundle.kem_seed.reveal() + bundle.sign_seed.reveal()
    return commitment + algorithms.aead_seal(key, plain, packed("cloister/bundle/v1", bundle.person))


def open_bundle(person: str, sealed: bytes, unlock_key: Secret) -> Bundle:
    """Forged(wrong-key) for another unlock key, another person's bundle, or changed bytes."""
    if len(unlock_key) != 32:
        raise Forged(Refusal.WRONG_KEY)
    commitment, key = _keys(unlock_key)
    if not algorithms.same(commitment, sealed[:COMMITMENT_BYTES]):
        raise Forged(Refusal.WRONG_KEY)
    try:
        plain = algorithms.aead_open(key, sealed[COMMITMENT_BYTES:], packed("cloister/bundle/v1", person))
    except Forged:
        raise Forged(Refusal.WRONG_KEY) from None
    if len(plain) != 64:
        raise Forged(Refusal.MALFORMED)
    return Bundle(person, Secret(plain[:32]), Secret(plain[32:]))


def _keys(unlock_key: Secret) -> tuple[bytes, bytes]:
    raw = unlock_key.reveal()
    return algorithms.hkdf(raw, "cloister/bundle/v1/commitment"), algorithms.hkdf(raw, "cloister/bundle/v1/seal")
