"""Smartcards at the door: what a browser needs to ask a card, sealed to whoever holds the card. Spec: docs/spec/zones.md 5.1.

Everybody is offered the same number of sealed parameters of the same length, random ones where there is no card. Only
the key of the inserted card opens its own: a stranger does not learn who has a card, nor of what kind.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Final

from cloister.base.errors import Denied
from cloister.base.secret import Secret
from cloister.identity.person import Authenticator, Kind, Known
from cloister.identity.sign_in import may_sign_in, prove_by
from cloister.zones import algorithms, cards

CARDS_PER_PERSON_MAX: Final = 4
OFFER_BYTES: Final = 4096
OFFER_LABEL: Final = b"cloister/card/v1/offer"


def offers(known: Known) -> list[str]:
    """As a page gets them, in Base64."""
    return [base64.b64encode(one).decode("ascii") for one in sealed_offers(known)]


def sealed_offers(known: Known) -> list[bytes]:
    """CARDS_PER_PERSON_MAX of {"unlocker", "person", "params"} as JSON, filled up with blanks and sealed."""
    own = [one for one in known.authenticators if one.kind == Kind.CARD and may_sign_in(known, one)][-CARDS_PER_PERSON_MAX:]
    plain = [({"unlocker": one.id, "person": one.person, "params": one.params}, cards.offer_key(one.params["key"])) for one in own]
    plain += [({}, algorithms.random(32)) for _ in range(CARDS_PER_PERSON_MAX - len(own))]
    return [algorithms.aead_seal(key, json.dumps(offer).encode().ljust(OFFER_BYTES), OFFER_LABEL) for offer, key in plain]


def guessable(known: Known, unlocker: str) -> bool:
    """Whether a passphrase stands behind it (profile c), so that failures for this name must slow the next try."""
    stored = _stored(known, unlocker)
    return stored is not None and stored.params.get("profile") == cards.Profile.SIGN


def prove(known: Known, unlocker: str, offered: bytes, door_secret: Secret, *, now: datetime) -> Authenticator:
    """The card of this name, by its verifier; raises the one refusal, or for the right card Denied(card-expired)."""
    proven = prove_by(known, _stored(known, unlocker), offered, door_secret)
    check_valid(proven.params["not_after"], now=now)
    return proven


def _stored(known: Known, unlocker: str) -> Authenticator | None:
    return next((one for one in known.authenticators if one.kind == Kind.CARD and one.id == unlocker), None)


def check_valid(not_after: int, *, now: datetime) -> None:
    """The end of the card's certificate, in milliseconds since 1970 UTC."""
    ended = datetime.fromtimestamp(not_after / 1000, UTC)
    if now >= ended:
        text = f"The certificate on this card ended on {ended.date().isoformat()}."
        raise Denied(text, hint="Sign in another way, and add your new card.", reason="card-expired")
