"""Proof by a verifier: the same work and the same answer whether or not a person exists. Spec: docs/spec/zones.md.

The browser derives key and verifier from the passphrase (Argon2id, then HKDF); the door sees the verifier
only, and the database its SHA-256 only. Unknown names get parameters that never change, made with the
door's secret, so that asking twice betrays nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from typing import Any, Final

from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.identity.person import Authenticator, Kind, Known
from cloister.identity.words import WORDS

SIGN_IN_CHARACTERS_MAX: Final = 128
VERIFIER_BYTES: Final = 32
WORDS_PER_PASSPHRASE: Final = 5
SALT_BYTES: Final = 16
REFUSED: Final = "sign-in-refused"
# RFC 9106, second recommendation; the floor that sessions and browsers enforce. Founding uses the same.
PASSPHRASE_COST: Final[dict[str, Any]] = {"passes": 3, "memory_kib": 65_536, "lanes": 4}


def refusal() -> Denied:
    """The one answer to every sign-in that fails, whatever the cause."""
    return Denied("This sign-in name and this proof do not belong together.", hint="Check the name, and try again.", reason=REFUSED)


def normalised(sign_in: str) -> str:
    """The name as it is stored and looked up: NFKC, without case and outer blanks; raises Invalid."""
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", sign_in).casefold()).strip()
    if not name or len(name) > SIGN_IN_CHARACTERS_MAX or not name.isprintable():
        raise Invalid("This is not a sign-in name.", hint=f"Type one of at most {SIGN_IN_CHARACTERS_MAX} letters, digits and signs.")
    return name


def imitation(door_secret: Secret, label: str, sign_in: str) -> bytes:
    """32 bytes that look like a stored value of this name, and are always the same for it."""
    return hmac.digest(door_secret.reveal(), f"cloister/{label}/v1|{sign_in}".encode(), "sha256")


def new_passphrase() -> str:
    """Five plain words and the hyphens between them, for whoever has not chosen one."""
    return "-".join(secrets.choice(WORDS) for _ in range(WORDS_PER_PASSPHRASE))


def passphrase_parameters(known: Known, door_secret: Secret) -> dict[str, Any]:
    """Salt and cost for the browser; for a name without passphrase, of the same shape and without end the same."""
    imitated = {"salt": imitation(door_secret, "imitated-salt", known.sign_in)[:SALT_BYTES].hex(), **PASSPHRASE_COST}
    stored = _latest(known, Kind.PASSPHRASE)
    return imitated if stored is None else {name: stored.params[name] for name in imitated}


def prove(known: Known, kind: Kind, offered: bytes, door_secret: Secret) -> Authenticator:
    """The authenticator whose verifier this is; raises the one refusal otherwise."""
    return prove_by(known, _latest(known, kind), offered, door_secret)


def prove_by(known: Known, stored: Authenticator | None, offered: bytes, door_secret: Secret) -> Authenticator:
    """The same for one authenticator; None does the same work."""
    expected = imitation(door_secret, "imitated-verifier", known.sign_in)
    if stored is not None and stored.verifier is not None:
        expected = stored.verifier
    right = hmac.compare_digest(hashlib.sha256(offered).digest(), expected)
    if stored is None or not right or len(offered) != VERIFIER_BYTES or not may_sign_in(known, stored):
        raise refusal()
    return stored


def may_sign_in(known: Known, authenticator: Authenticator) -> bool:
    """Not disabled, their own authenticator, and programs by service secret only."""
    person = known.person
    if person is None or person.disabled or authenticator.person != person.id:
        return False
    return (person.kind == "program") == (authenticator.kind == Kind.SERVICE)


def _latest(known: Known, kind: Kind) -> Authenticator | None:
    """The newest of a kind: a changed passphrase replaces the old one from its first moment."""
    found = [one for one in known.authenticators if one.kind == kind]
    return max(found, key=lambda one: (one.created is not None, one.created, one.id)) if found else None
