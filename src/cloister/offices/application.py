"""What an applicant brings: public keys, sealed private keys, at least two unlockers, and a signature that proves possession.
Spec: docs/spec/zones.md 19.

The door checks it to answer at once; the certificate officer's session checks it again, because the door proves nothing to it.
The fingerprint is compared by two people, by voice: it is what stops a machine in between from exchanging the keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.identity import words as wordlist
from cloister.zones import algorithms, envelope

LABEL: Final = "cloister/application/v1"
FINGERPRINT: Final = b"cloister/fingerprint/v1|"
FINGERPRINT_WORDS: Final = 7  # more than 60 bits
UNLOCKERS_MIN: Final = 2
UNLOCKERS_MAX: Final = 6
KINDS: Final = frozenset({"passphrase", "passkey", "card"})
SEALED_PRIVATE_BYTES: Final = 124
SEALED_UNLOCKER_BYTES: Final = 92


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A checked application. `unlockers` are rows in the form in which they are stored, bytes as base64."""

    applicant: str
    person: str
    challenge: bytes
    kem_public: bytes
    sign_public: bytes
    sealed_private: bytes
    unlockers: tuple[Mapping[str, Any], ...]
    proof: bytes

    @property
    def words(self) -> str:
        return fingerprint(self.sign_public, self.kem_public)


def fingerprint(sign_public: bytes, kem_public: bytes) -> str:
    """Seven words that stand for these two public keys, as officer and applicant say them to each other."""
    number = int.from_bytes(algorithms.sha256(FINGERPRINT + sign_public + kem_public), "big")
    words = []
    for _ in range(FINGERPRINT_WORDS):
        number, at = divmod(number, len(wordlist.WORDS))
        words.append(wordlist.WORDS[at])
    return " ".join(words)


def signed_body(
    *,
    trust: str,
    applicant: str,
    person: str,
    challenge: bytes,
    kem_public: bytes,
    sealed_private: bytes,
    unlockers: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What the applicant signs with the new signing key."""
    return {
        "trust": trust,
        "applicant": applicant,
        "person": person,
        "challenge": challenge,
        "kem": algorithms.sha256(kem_public),
        "bundle": algorithms.sha256(sealed_private),
        "unlockers": [[str(one["id"]), str(one["kind"]), algorithms.sha256(octets(one["sealed"], "sealed"))] for one in unlockers],
    }


def signer_of(applicant: str) -> str:
    return f"applicant/{applicant}"


def checked(
    *,
    trust: str,
    applicant: str,
    person: str,
    challenge: bytes,
    kem_public: bytes,
    sign_public: bytes,
    sealed_private: bytes,
    unlockers: Sequence[Mapping[str, Any]],
    proof: bytes,
) -> Application:
    """The application, if all of it has the right form and its signer holds the key. Raises Invalid, or Forged for the signature."""
    if len(kem_public) != algorithms.KEM_PUBLIC_BYTES or len(sign_public) != 32 or len(sealed_private) != SEALED_PRIVATE_BYTES:
        raise Invalid("These are not the keys of a person.", hint="Start the enrolment again.", reason="application")
    _check_unlockers(unlockers)
    expected = signed_body(
        trust=trust, applicant=applicant, person=person, challenge=challenge, kem_public=kem_public, sealed_private=sealed_private,
        unlockers=unlockers,
    )  # fmt: skip
    if envelope.opened(LABEL, proof, sign_public) != expected or envelope.peek_signer(proof) != signer_of(applicant):
        raise Invalid("The signature is for another application.", hint="Start the enrolment again.", reason="application")
    return Application(
        applicant=applicant,
        person=person,
        challenge=challenge,
        kem_public=kem_public,
        sign_public=sign_public,
        sealed_private=sealed_private,
        unlockers=tuple(unlockers),
        proof=proof,
    )


def _check_unlockers(rows: Sequence[Mapping[str, Any]]) -> None:
    """Two ways to open one's keys, so that losing one loses nothing; and a passphrase, which every desk can take."""
    if not UNLOCKERS_MIN <= len(rows) <= UNLOCKERS_MAX:
        raise Invalid(
            "Two ways to open your keys are needed.", hint="Add a passkey or a card beside the passphrase.", reason="unlockers-too-few"
        )
    for row in rows:
        if row.get("kind") not in KINDS or not isinstance(row.get("id"), str) or not 0 < len(row["id"]) <= 100:
            raise Invalid("One of the unlockers is of no known kind.", hint="Start the enrolment again.", reason="application")
        if not isinstance(row.get("params"), dict) or len(octets(row.get("sealed"), "sealed")) != SEALED_UNLOCKER_BYTES:
            raise Invalid("One of the unlockers is not in the written form.", hint="Start the enrolment again.", reason="application")
    if len({row["id"] for row in rows}) != len(rows) or sum(row["kind"] == "passphrase" for row in rows) != 1:
        raise Invalid("One passphrase is needed, and each unlocker once.", hint="Start the enrolment again.", reason="application")


def octets(value: Any, name: str) -> bytes:
    """Bytes from base64 (RFC 4648); raises Invalid."""
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Invalid(f"'{name}' is not base64.", hint="Start the enrolment again.", reason="application") from None
