"""Unlockers: the ways to open a person's private keys. Spec: docs/spec/zones.md 5.

An unlocker wraps the person's random unlock key under a key-encryption key (KEK) that only its holder can
make again: from a passphrase (Argon2id, in the browser), a passkey's PRF output, a smartcard (cards.py), or a program's
secret. A person has at least two; adding or removing one touches nothing else.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.cards import Profile, checked_card_params, passphrase_params
from cloister.zones.cbor import encoded
from cloister.zones.packing import packed
from cloister.zones.refusals import Forged, Refusal, Refused

PASSES_MIN: Final = 3
PASSES_MAX: Final = 32
MEMORY_KIB_MIN: Final = 65_536
MEMORY_KIB_MAX: Final = 2_097_152
LANES_MIN: Final = 1
LANES_MAX: Final = 16
SALT_BYTES: Final = 16
COMMITMENT_BYTES: Final = 32
PRF_SALT: Final = algorithms.sha256(b"cloister/prf/v1")
SESSION_UNLOCK_INFO: Final = b"cloister/session-unlock/v1|"


class UnlockerKind(StrEnum):
    PASSPHRASE = "passphrase"
    PASSKEY = "passkey"
    SERVICE = "service"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Unlocker:
    """One stored way to the unlock key; worthless without its secret."""

    id: str
    person: str
    kind: str
    params: dict[str, Any]
    sealed: bytes


def new_passphrase_params() -> dict[str, Any]:
    return {"salt": algorithms.random(SALT_BYTES).hex(), "passes": 3, "memory_kib": 65_536, "lanes": 4}


def checked_passphrase_params(params: dict[str, Any]) -> tuple[bytes, int, int, int]:
    """Salt, passes, memory, lanes; a server that offers less than the floor is refused (RFC 9106 section 4)."""
    bounds = {"passes": (PASSES_MIN, PASSES_MAX), "memory_kib": (MEMORY_KIB_MIN, MEMORY_KIB_MAX), "lanes": (LANES_MIN, LANES_MAX)}
    if not isinstance(params, dict) or set(params) != {"salt", *bounds}:
        raise Refused(Refusal.WEAK_PARAMETERS)
    for name, (low, high) in bounds.items():
        value = params[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Refused(Refusal.WEAK_PARAMETERS)
    try:
        salt = bytes.fromhex(params["salt"])
    except (TypeError, ValueError):
        raise Refused(Refusal.WEAK_PARAMETERS) from None
    if len(salt) != SALT_BYTES or salt.hex() != params["salt"]:  # one writing: `fromhex` also takes spaces and capitals
        raise Refused(Refusal.WEAK_PARAMETERS)
    return salt, params["passes"], params["memory_kib"], params["lanes"]


def check_params(kind: str, params: dict[str, Any]) -> None:
    """Refused(weak-parameters) where parameters decide how strong an unlocker is, and are not as strong as they must be."""
    if kind == UnlockerKind.PASSPHRASE:
        checked_passphrase_params(params)
    elif kind == UnlockerKind.CARD and checked_card_params(params) is Profile.SIGN:
        checked_passphrase_params(passphrase_params(params))


def passphrase_root(passphrase: str, params: dict[str, Any]) -> bytes:
    """Argon2id of what a person types, the same however its accents were typed."""
    salt, passes, memory_kib, lanes = checked_passphrase_params(params)
    text = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogatepass")
    return algorithms.argon2id(text, salt, passes=passes, memory_kib=memory_kib, lanes=lanes)


def passphrase_secrets(passphrase: str, params: dict[str, Any]) -> tuple[Secret, bytes]:
    """The KEK, and the verifier that the door compares (by its hash): neither tells the other."""
    return _secrets(passphrase_root(passphrase, params), UnlockerKind.PASSPHRASE)


def passkey_kek(prf: bytes) -> Secret:
    """From the WebAuthn PRF output for PRF_SALT; it leaves the browser only sealed to the session."""
    if len(prf) != 32:
        raise Forged(Refusal.MALFORMED)
    return Secret(algorithms.hkdf(prf, "cloister/unlock/v1/passkey"))


def service_secrets(secret: bytes) -> tuple[Secret, bytes]:
    """A program's 32 random bytes: high in entropy, so no slow derivation."""
    if len(secret) != 32:
        raise Forged(Refusal.MALFORMED)
    return _secrets(secret, UnlockerKind.SERVICE)


def stored_verifier(verifier: bytes) -> bytes:
    """What the database keeps: a copy of it signs nobody in."""
    return algorithms.sha256(verifier)


def session_unlock_info(session_id: str) -> bytes:
    """The HPKE info under which a browser seals the KEK to one session."""
    return SESSION_UNLOCK_INFO + session_id.encode()


def wrap_unlock_key(kek: Secret, unlocker_id: str, person: str, kind: str, params: dict[str, Any], unlock_key: Secret) -> Unlocker:
    check_params(kind, params)
    commitment, key = _keys(kek)
    sealed = commitment + algorithms.aead_seal(key, unlock_key.reveal(), _bound(unlocker_id, person, kind, params))
    return Unlocker(unlocker_id, person, kind, dict(params), sealed)


def unwrap_unlock_key(kek: Secret, unlocker: Unlocker) -> Secret:
    """The unlock key; Forged(wrong-key) for a wrong secret and for any change of the row alike.

    GCM does not commit to its key: without the commitment, one stored blob could be made to open under
    many passphrases and so test them by the thousand (partitioning oracle). It is compared first.
    """
    if unlocker.kind not in set(UnlockerKind):
        raise Forged(Refusal.ALGORITHM)
    check_params(unlocker.kind, unlocker.params)
    if len(kek) != 32:
        raise Forged(Refusal.WRONG_KEY, hint="Try again.")
    commitment, key = _keys(kek)
    if not algorithms.same(commitment, unlocker.sealed[:COMMITMENT_BYTES]):
        raise Forged(Refusal.WRONG_KEY, hint="Try again.")
    try:
        bound = _bound(unlocker.id, unlocker.person, unlocker.kind, unlocker.params)
        return Secret(algorithms.aead_open(key, unlocker.sealed[COMMITMENT_BYTES:], bound))
    except Forged:
        raise Forged(Refusal.WRONG_KEY, hint="Try again.") from None


def _secrets(root: bytes, kind: UnlockerKind) -> tuple[Secret, bytes]:
    return Secret(algorithms.hkdf(root, f"cloister/unlock/v1/{kind}")), algorithms.hkdf(root, f"cloister/verify/v1/{kind}")


def _keys(kek: Secret) -> tuple[bytes, bytes]:
    raw = kek.reveal()
    return algorithms.hkdf(raw, "cloister/unlocker/v1/commitment"), algorithms.hkdf(raw, "cloister/unlocker/v1/wrap")


def _bound(unlocker_id: str, person: str, kind: str, params: dict[str, Any]) -> bytes:
    return packed("cloister/unlocker/v1", unlocker_id, person, kind, encoded(params))
