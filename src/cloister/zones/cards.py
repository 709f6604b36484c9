"""Smartcards as unlockers: one operation of the card gives a half, and the half a root. Spec: docs/spec/zones.md 5.1.

Profile a: ECDH on the card, combined with ML-KEM-768 whose seed the card keeps behind its PIN. Profile b: the card
decrypts a wrapped secret. Profile c, for cards that only sign: the one possible PKCS#1 v1.5 signature over a text that
names trust, person and unlocker, combined with a passphrase, because another program could have that text signed too.
The operation itself is the workstation's (room workstation); a server sees params, and a key sealed to the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.base.secret import Secret
from cloister.zones import algorithms
from cloister.zones.packing import packed
from cloister.zones.refusals import Refusal, Refused

POINT_BYTES: Final = {"P-256": 65, "P-384": 97}  # SEC 1 2.3.3, not compressed
LATTICE_SEALED_BYTES: Final = 1088  # ML-KEM-768 (FIPS 203, table 3)
RSA_BYTES: Final = (256, 384, 512)
PADDINGS: Final = ("oaep-sha256", "oaep-sha1", "pkcs1")
HALF: Final = "cloister/card/v1/half"
TIME_MAX: Final = 2**53  # milliseconds; what every JSON reader keeps exactly
_COST: Final = ("salt", "passes", "memory_kib", "lanes")


class Profile(StrEnum):
    """What a card can do, the best first."""

    DERIVE = "a"
    DECRYPT = "b"
    SIGN = "c"


@dataclass(frozen=True, slots=True)
class CardUse:
    """For whom and for which unlocker a card is asked: bound into its half, so that no other use gives the same."""

    person: str
    unlocker: str
    params: dict[str, Any]


def checked_card_params(params: Any) -> Profile:
    """The profile of an unlocker's parameters; Refused(weak-parameters) unless every member is of its form."""
    try:
        profile = Profile(params["profile"])
        common = {"profile", "trust", "key", "not_after"}
        _hex(params["key"], 32)
        if not isinstance(params["trust"], str) or not 0 < len(params["trust"]) <= 200 or not _whole(params["not_after"]):
            raise ValueError
        match profile:
            case Profile.DERIVE:
                point = _hex(params["point"], POINT_BYTES[params["curve"]])
                _hex(params["kem"], LATTICE_SEALED_BYTES)
                own, right = {"curve", "point", "kem"}, point[0] == 4
            case Profile.DECRYPT:
                _hex(params["wrapped"], *RSA_BYTES)
                _hex(params["commitment"], 32)
                own, right = {"padding", "wrapped", "commitment"}, params["padding"] in PADDINGS
            case Profile.SIGN:
                own, right = set(_COST), True  # the floors of the derivation are enforced as for any passphrase
    except (KeyError, TypeError, ValueError):
        raise Refused(Refusal.WEAK_PARAMETERS) from None
    if not right or set(params) != common | own:
        raise Refused(Refusal.WEAK_PARAMETERS)
    return profile


def passphrase_params(params: dict[str, Any]) -> dict[str, Any]:
    """Of profile c: how the passphrase beside the card is derived."""
    return {name: params[name] for name in _COST}


def text_to_sign(use: CardUse) -> bytes:
    """What a card of profile c signs, and never anything else."""
    return packed("cloister/card/v1/sign", use.params["trust"], use.person, use.unlocker, use.params["key"])


def half_of(use: CardUse, first: bytes, second: bytes = b"") -> bytes:
    """From the card's answer: a, ECDH's x-coordinate and the ML-KEM secret; b, the decrypted secret; c, the signature."""
    p = use.params
    public = bytes.fromhex("".join(p.get(name, "") for name in ("point", "kem", "wrapped")))  # those that the profile has
    return algorithms.hkdf(packed(HALF, p["trust"], use.person, use.unlocker, p["profile"], p["key"], public, first, second), HALF)


def commitment_of(secret: bytes) -> bytes:
    """Of profile b: what a decryption is compared with, so that no answer ever depends on a padding."""
    return algorithms.hkdf(secret, "cloister/card/v1/commitment")


def root_of(half: bytes, passphrase_root: bytes | None) -> bytes:
    """Profiles a and b: the half itself. Profile c: both, or nothing; neither alone tells anything about the root."""
    return half if passphrase_root is None else algorithms.hkdf(half + passphrase_root, "cloister/card/v1/with-passphrase")


def card_secrets(root: bytes) -> tuple[Secret, bytes]:
    """The KEK and the verifier for the door, as for a passphrase."""
    return Secret(algorithms.hkdf(root, "cloister/unlock/v1/card")), algorithms.hkdf(root, "cloister/verify/v1/card")


def offer_key(key: str) -> bytes:
    """Under which the door hands out an unlocker's parameters: whoever holds the card knows it, a stranger does not."""
    return algorithms.hkdf(bytes.fromhex(key), "cloister/card/v1/offer")


def _hex(text: str, *sizes: int) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) not in sizes or raw.hex() != text:
        raise ValueError
    return raw


def _whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < TIME_MAX
