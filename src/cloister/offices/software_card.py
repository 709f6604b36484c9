"""A recovery card as a file: a P-256 key under a PIN (Argon2id). Spec: docs/spec/zones.md 24.

For a trust without card readers, and for demos. Weaker than a card, honestly: a file can be copied, and its counter of wrong PINs
with it, so that only the PIN's length and Argon2id stand in the way; such a PIN is therefore made here, and never chosen.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import Corrupt, Denied, NotFound
from cloister.base.secret import Secret
from cloister.zones import Forged, algorithms, unlockers

FORM: Final = "cloister/software-card/v1"
FILE_BYTES_MAX: Final = 16_384
TRIES: Final = 5
PIN_GROUPS: Final = 4  # of five digits: 66 bits, beyond guessing even with the file in hand


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareCard:
    """One card's file. Everything but `tries` is bound into the seal."""

    form: str
    trust: str
    curve: str
    public: str  # hex
    params: dict[str, Any]
    sealed: str  # base64
    tries: int = TRIES

    def opened(self, kek: Secret) -> Secret:
        """The private scalar; Denied(wrong-pin) for a wrong PIN and a changed file alike."""
        try:
            sealed = base64.b64decode(self.sealed, validate=True)
            kept = unlockers.Unlocker(_name(self.public), self.trust, unlockers.UnlockerKind.PASSPHRASE, self.params, sealed)
            return unlockers.unwrap_unlock_key(kek, kept)
        except (Forged, binascii.Error):
            raise Denied("This PIN does not open the card.", hint="Try again.", reason="wrong-pin") from None

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1)


def new_pin() -> str:
    return "-".join(f"{secrets.randbelow(100_000):05}" for _ in range(PIN_GROUPS))


def pin_kek(pin: str, params: dict[str, Any]) -> Secret:
    """As a browser derives it from the PIN."""
    kek, _ = unlockers.passphrase_secrets(pin.strip(), params)
    return kek


def new_card(trust: str, pin: str) -> SoftwareCard:
    scalar = Secret(algorithms.ecdh_new(algorithms.P256))
    public = algorithms.ecdh_public(algorithms.P256, scalar.reveal()).hex()
    params = unlockers.new_passphrase_params()
    sealed = unlockers.wrap_unlock_key(pin_kek(pin, params), _name(public), trust, unlockers.UnlockerKind.PASSPHRASE, params, scalar).sealed
    return SoftwareCard(
        form=FORM, trust=trust, curve=algorithms.P256, public=public, params=params, sealed=base64.b64encode(sealed).decode()
    )


def read_card(text: str | bytes) -> SoftwareCard:
    """Raises Corrupt for anything that is not such a file."""
    try:
        card = SoftwareCard(**json.loads(text))
        right = card.form == FORM and card.curve == algorithms.P256 and isinstance(card.tries, int)
        unlockers.checked_passphrase_params(card.params)
        bytes.fromhex(card.public)
    except (ValueError, TypeError):
        right = False
    if not right:
        raise Corrupt("This file is not a recovery card.", hint="Use the file that was carried to the safe, or its other copy.")
    return card


def write_card(path: Path, card: SoftwareCard) -> None:
    """A new file that only its owner reads; never over another one."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(card.text())
        file.flush()
        os.fsync(file.fileno())


def agree(path: Path, pin: str, point: bytes) -> Secret:
    """ECDH with this point, as a card does it: a wrong PIN costs a try, and without tries the file refuses."""
    try:
        card = read_card(path.read_bytes()[:FILE_BYTES_MAX])
    except FileNotFoundError:
        raise NotFound(f"There is no card file {path}.", hint="Bring it from the safe.") from None
    if card.tries <= 0:
        raise Denied("This card is blocked: its PIN was wrong too often.", hint="Use the card of the other set.", reason="card-blocked")
    _keep(path, replace(card, tries=card.tries - 1))  # before the attempt, so that pulling the plug gains nothing
    scalar = card.opened(pin_kek(pin, card.params))
    _keep(path, replace(card, tries=TRIES))
    return Secret(algorithms.ecdh(card.curve, scalar.reveal(), point))


def _keep(path: Path, card: SoftwareCard) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    write_card(new, card)
    new.replace(path)


def _name(public: str) -> str:
    return f"recovery-card/{public}"
