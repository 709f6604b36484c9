"""Programs sign in with OAuth 2 client credentials (RFC 6749, 4.4): client id = sign-in name, secret = 32 random bytes.

OAuth sends the secret itself, so the door holds it for the moment in which it derives the unlock key and seals
that to the program's new session. This is the one case where the door sees what opens keys; SECURITY.md says so.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import Final

from cloister.base.secret import Secret
from cloister.identity.person import Authenticator, Kind, Known
from cloister.identity.sign_in import prove, refusal
from cloister.zones import unlockers

SECRET_BYTES: Final = 32
SECRET_CHARACTERS: Final = 43  # base64url without padding (RFC 4648, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenProgram:
    """A program that has proved itself, and the key that opens its unlocker: seal it to the session, then drop it."""

    authenticator: Authenticator
    kek: Secret


def new_client_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def client_secret_bytes(text: str) -> Secret:
    """The 32 bytes behind a client secret; raises the one refusal when it is not of that form."""
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refusal() from None
    # One text for each secret: the last character's two spare bits must be zero.
    if len(text) != SECRET_CHARACTERS or base64.urlsafe_b64encode(raw).decode().rstrip("=") != text:
        raise refusal()
    return Secret(raw)


def prove_program(known: Known, client_secret: str, door_secret: Secret) -> ProvenProgram:
    """The program whose secret this is; raises the one refusal otherwise."""
    kek, verifier = unlockers.service_secrets(client_secret_bytes(client_secret).reveal())
    return ProvenProgram(authenticator=prove(known, Kind.SERVICE, verifier, door_secret), kek=kek)
