"""A recovery card at this computer: a file under a PIN, or a token that a PKCS#11 module reaches.

Named as `software:FILE` or `pkcs11:LABEL`. A token's key is made in it, on P-256, sensitive and not extractable; it answers with
ECDH only, and counts wrong PINs itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Conflict, Denied, Invalid, NotFound
from cloister.base.secret import Secret
from cloister.offices import software_card
from cloister.workstation import CardFault, Module, pkcs11

KEY_LABEL: Final = b"cloister recovery"
KEY: Final[pkcs11.Template] = {pkcs11.CLASS: pkcs11.PRIVATE_KEY, pkcs11.LABEL: KEY_LABEL}
SHARED_BYTES: Final = 32
HINTS: Final = {
    "wrong-pin": "Try again.",
    "wrong-pin-low": "Only a few tries are left.",
    "wrong-pin-final": "One try is left.",
    "card-blocked": "Use the card of the other set.",
}


@dataclass(frozen=True, slots=True)
class RecoveryCard:
    """Where the card is; nothing of it is opened before it is asked."""

    place: str
    module: str

    @property
    def software(self) -> Path | None:
        kind, _, rest = self.place.partition(":")
        return Path(rest) if kind == "software" else None

    def make(self, trust: str, pin: str) -> bytes:
        """A new key; its public half. Never over a card that has one."""
        if self.software is not None:
            card = software_card.new_card(trust, pin)
            try:
                software_card.write_card(self.software, card)
            except FileExistsError:
                raise Conflict(f"There is a file {self.software} already.", hint="Name another file.") from None
            except OSError as wrong:
                raise Invalid(f"{self.software} cannot be written: {wrong.strerror}.", hint="Name another file.") from wrong
            return bytes.fromhex(card.public)
        try:
            with self._token(pin) as session:
                if session.find(KEY):
                    raise Conflict("This card has a recovery key already.", hint="Use another card, or erase this one first.")
                return session.make_ec_key(KEY_LABEL)
        except CardFault as fault:
            raise _denied(fault) from None

    def agree(self, pin: str, point: bytes) -> Secret:
        """The card's ECDH secret with this point."""
        if self.software is not None:
            return software_card.agree(self.software, pin, point)
        try:
            with self._token(pin) as session:
                keys = session.find(KEY)
                if not keys:
                    raise NotFound("This card has no recovery key.", hint="Bring the card of the set that was named.")
                return Secret(session.derive(keys[0], point, SHARED_BYTES))
        except CardFault as fault:
            raise _denied(fault) from None

    @contextmanager
    def _token(self, pin: str) -> Iterator[pkcs11.Session]:
        """The named token, logged in for one use."""
        kind, _, label = self.place.partition(":")
        if kind != "pkcs11" or not label:
            raise Invalid(f"'{self.place[:80]}' is no card.", hint="Name it as software:FILE or pkcs11:LABEL.")
        if not self.module:
            raise Invalid("It must be said which PKCS#11 module reaches the card.", hint="Add --module FILE, of the card's middleware.")
        # Never finalised: some middleware shares OpenSSL with this process, and would take it down under our connection.
        module = Module.load(self.module)
        tokens = [one for one in module.tokens() if label in (one.label, one.serial)]
        if len(tokens) != 1:
            raise NotFound(f"There is no card '{label[:80]}' in a reader.", hint="Insert it, and name its label or serial number.")
        with module.session(tokens[0].slot, writing=True) as session:
            session.login(None if tokens[0].flags & pkcs11.PIN_PAD else pin)
            yield session


def _denied(fault: CardFault) -> Denied:
    return Denied(str(fault), hint=HINTS.get(fault.reason, "Insert the card, and start again."), reason=fault.reason)
