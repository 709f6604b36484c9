"""Applying, as a browser does it: new keys, a passphrase and passkeys that open them, and the signature over all of it.

The browser's own code is frontend/src/enrol.js; the two are compared by the vectors of docs/spec/zones.md 19.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.offices.application import LABEL, fingerprint, signed_body, signer_of
from cloister.zones import bundle, envelope, unlockers


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPasskey:
    """A passkey just made: what the door verifies, and the PRF output that it never sees."""

    credential_id: str  # base64url
    attestation: Mapping[str, Any]
    prf: bytes = field(repr=False)
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes to the door, and the words that the applicant tells the officer."""

    body: dict[str, Any]
    words: str


def answer(*, trust: str, applicant: str, person: str, challenge: bytes, passphrase: str, passkeys: Sequence[NewPasskey]) -> Answer:
    """Keys for this application only; nothing of them is kept here."""
    keys, unlock_key = bundle.new_bundle(person), bundle.new_unlock_key()
    rows = [_passphrase(person, passphrase, unlock_key), *(_passkey(person, one, unlock_key) for one in passkeys)]
    sealed_private = bundle.seal_bundle(keys, unlock_key)
    signed = signed_body(
        trust=trust, applicant=applicant, person=person, challenge=challenge, kem_public=keys.kem_public, sealed_private=sealed_private,
        unlockers=rows,
    )  # fmt: skip
    proof = envelope.Signer(signer_of(applicant), keys.signing).sign(LABEL, signed)
    body = {
        "kem_public": _text(keys.kem_public),
        "sign_public": _text(keys.sign_public),
        "sealed_private": _text(sealed_private),
        "unlockers": rows,
        "proof": _text(proof),
    }
    return Answer(body=body, words=fingerprint(keys.sign_public, keys.kem_public))


def _passphrase(person: str, passphrase: str, unlock_key: Secret) -> dict[str, Any]:
    params = unlockers.new_passphrase_params()
    kek, verifier = unlockers.passphrase_secrets(passphrase, params)
    made = unlockers.wrap_unlock_key(kek, new_id(), person, unlockers.UnlockerKind.PASSPHRASE, params, unlock_key)
    return {**_row(made), "verifier": _text(unlockers.stored_verifier(verifier))}


def _passkey(person: str, one: NewPasskey, unlock_key: Secret) -> dict[str, Any]:
    params = {"credential_id": one.credential_id}
    made = unlockers.wrap_unlock_key(unlockers.passkey_kek(one.prf), new_id(), person, unlockers.UnlockerKind.PASSKEY, params, unlock_key)
    return {**_row(made), "attestation": dict(one.attestation), "label": one.label}


def _row(made: unlockers.Unlocker) -> dict[str, Any]:
    return {"id": made.id, "kind": str(made.kind), "params": made.params, "sealed": _text(made.sealed)}


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
