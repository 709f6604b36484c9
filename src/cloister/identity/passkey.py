"""Passkeys: W3C WebAuthn Level 3 with user verification, and the PRF extension whose output never comes here.

The `webauthn` package checks the signatures; the `prf` extension is put into the options by hand, because the
package has no argument for it. What it leaves to its caller is here: challenges used once (challenge.py), a
counter that must rise, and that the browser kept the PRF output to itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from cloister.base.errors import Denied, Invalid, Unsupported
from cloister.base.secret import Secret
from cloister.identity.challenge import CHALLENGE_LIFE, Challenge
from cloister.identity.person import Authenticator, Kind, Known, Person
from cloister.identity.sign_in import imitation, may_sign_in, refusal

PRF_EVALUATION: Final = hashlib.sha256(b"cloister/prf/v1").digest()
TIMEOUT_MILLISECONDS: Final = int(CHALLENGE_LIFE.total_seconds() * 1000)
CREDENTIAL_ID_BYTES_MAX: Final = 1023  # WebAuthn 3, section 4
PASSKEYS_PER_PERSON_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """This trust as browsers know it: the host name, and the addresses its pages come from."""

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new passkey's public half, as verified."""

    credential_id: bytes
    credential_public: bytes
    sign_count: int


def user_handle(person: str) -> bytes:
    """What an authenticator stores to name the person: says nothing about them (WebAuthn 3, 14.6.1)."""
    return hashlib.sha256(b"cloister/user-handle/v1|" + person.encode()).digest()


def registration_options(party: RelyingParty, person: Person, existing: Sequence[Authenticator], challenge: Challenge) -> dict[str, Any]:
    """PublicKeyCredentialCreationOptionsJSON with `prf`; raises Invalid at the limit of passkeys."""
    taken = [one.credential_id for one in existing if one.credential_id is not None]
    if len(taken) >= PASSKEYS_PER_PERSON_MAX:
        raise Invalid(f"You have {len(taken)} passkeys already.", hint="Remove one that you no longer use.")
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_name=person.sign_in,
        user_id=user_handle(person.id),
        user_display_name=person.name,
        challenge=challenge.value,
        timeout=TIMEOUT_MILLISECONDS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in taken],
    )
    return _with_prf(options_to_json_dict(options))


def verified_registration(party: RelyingParty, challenge: Challenge, response: dict[str, Any]) -> Registered:
    """The new passkey; raises Denied if the answer is not right, Unsupported if the authenticator has no PRF."""
    _keeps_its_secret(response)
    try:
        verified = webauthn.verify_registration_response(
            credential=response,
            expected_challenge=challenge.value,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as fault:
        raise Denied("The passkey's answer is not right.", hint="Start again.", reason="passkey-refused") from fault
    if _prf(response).get("enabled") is not True:
        raise Unsupported("This passkey cannot open your keys.", hint="Use one with the PRF extension.", reason="passkey-without-prf")
    if len(verified.credential_id) > CREDENTIAL_ID_BYTES_MAX:
        raise Invalid("This passkey's id is too long.", hint="Use another passkey.")
    return Registered(
        credential_id=verified.credential_id, credential_public=verified.credential_public_key, sign_count=verified.sign_count
    )


def authentication_options(party: RelyingParty, known: Known, challenge: Challenge, door_secret: Secret) -> dict[str, Any] | None:
    """PublicKeyCredentialRequestOptionsJSON with `prf`, or None where there is no passkey.

    One unknown name in four is answered as if it had a passkey, always with the same ids.
    """
    ids = [one.credential_id for one in known.authenticators if one.kind == Kind.PASSKEY and one.credential_id is not None]
    imitated = imitation(door_secret, "imitated-passkey", known.sign_in)
    if known.person is None and imitated[0] < 64:
        ids = [imitation(door_secret, "imitated-credential", known.sign_in)]
    if not ids:
        return None
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge.value,
        timeout=TIMEOUT_MILLISECONDS,
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in ids],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return _with_prf(options_to_json_dict(options))


def verified_authentication(party: RelyingParty, known: Known, challenge: Challenge, response: dict[str, Any]) -> Authenticator:
    """The authenticator that signed, with its new counter (to be stored by `store.mark_used`); raises the one refusal."""
    _keeps_its_secret(response)
    try:
        credential_id = base64url_to_bytes(str(response["rawId"]))
        stored = next(one for one in known.authenticators if one.kind == Kind.PASSKEY and one.credential_id == credential_id)
        handle = response["response"].get("userHandle")
        if handle and base64url_to_bytes(handle) != user_handle(stored.person):
            raise refusal()
        assert stored.credential_public is not None  # the table's check constraint
        verified = webauthn.verify_authentication_response(
            credential=response,
            expected_challenge=challenge.value,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=stored.credential_public,
            credential_current_sign_count=stored.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, StopIteration, ValueError, KeyError, TypeError, AttributeError):
        raise refusal() from None
    if not may_sign_in(known, stored):
        raise refusal()
    return replace(stored, sign_count=verified.new_sign_count)


def _with_prf(options: dict[str, Any]) -> dict[str, Any]:
    """WebAuthn 3, 10.1.4: ask for the PRF at one fixed point, so that the same passkey always opens the same keys."""
    return {**options, "extensions": {"prf": {"eval": {"first": bytes_to_base64url(PRF_EVALUATION)}}}}


def _prf(response: dict[str, Any]) -> dict[str, Any]:
    results = response.get("clientExtensionResults")
    prf = results.get("prf") if isinstance(results, dict) else None
    return prf if isinstance(prf, dict) else {}


def _keeps_its_secret(response: dict[str, Any]) -> None:
    if not isinstance(response, dict) or _prf(response).get("results"):
        raise Invalid("The browser sent what it must keep to itself.", hint="Leave out the results of `prf`.", reason="prf-sent")
