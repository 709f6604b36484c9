"""A recovery card at this computer: a file under a PIN, or a token that a PKCS#11 module reaches.

Named as `software:FILE` or `pkcs11:LABEL`. A token's key is made in it, on P-256, sensitive and not extractable; it answers with
ECDH only, and counts wrong PINs itself. The vendor's middleware runs in a process of its own, which ends after each question:
some of it shares OpenSSL with whoever loads it, and breaks the connections that are open there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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
ANSWER_BYTES_MAX: Final = 4096
FAULT_EXIT: Final = 3
MADE, EMPTY = "card-made", "card-empty"
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
        if self.software is None:
            return self._asked(pin, _made)
        card = software_card.new_card(trust, pin)
        try:
            software_card.write_card(self.software, card)
        except FileExistsError:
            raise Conflict(f"There is a file {self.software} already.", hint="Name another file.") from None
        except OSError as wrong:
            raise Invalid(f"{self.software} cannot be written: {wrong.strerror}.", hint="Name another file.") from wrong
        return bytes.fromhex(card.public)

    def agree(self, pin: str, point: bytes) -> Secret:
        """The card's ECDH secret with this point."""
        if self.software is not None:
            return software_card.agree(self.software, pin, point)
        return Secret(self._asked(pin, lambda session: _agreed(session, point)))

    def _asked(self, pin: str, question: Callable[[pkcs11.Session], bytes]) -> bytes:
        kind, _, label = self.place.partition(":")
        if kind != "pkcs11" or not label:
            raise Invalid(f"'{self.place[:80]}' is no card.", hint="Name it as software:FILE or pkcs11:LABEL.")
        if not self.module:
            raise Invalid("It must be said which PKCS#11 module reaches the card.", hint="Add --module FILE, of the card's middleware.")
        return _apart(lambda: self._answer(label, pin, question))

    def _answer(self, label: str, pin: str, question: Callable[[pkcs11.Session], bytes]) -> bytes:
        module = Module.load(self.module)
        tokens = [one for one in module.tokens() if label in (one.label, one.serial)]
        if len(tokens) != 1:
            raise CardFault("no-card")
        with module.session(tokens[0].slot, writing=True) as session:
            session.login(None if tokens[0].flags & pkcs11.PIN_PAD else pin)
            return question(session)


class _Said(Exception):
    """What this file finds on a card, beside what PKCS#11 says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _made(session: pkcs11.Session) -> bytes:
    if session.find(KEY):
        raise _Said(MADE)
    return session.make_ec_key(KEY_LABEL)


def _agreed(session: pkcs11.Session, point: bytes) -> bytes:
    keys = session.find(KEY)
    if not keys:
        raise _Said(EMPTY)
    return session.derive(keys[0], point, SHARED_BYTES)


def _apart(work: Callable[[], bytes]) -> bytes:
    """What `work` gives, from a child process that has this one's memory and nothing of its future; its fault by name."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer, status = work(), 0
        except (CardFault, _Said) as fault:
            answer, status = fault.reason.encode(), FAULT_EXIT
        except BaseException:  # noqa: B036 - a process's edge: whatever the middleware did, the child ends here
            answer, status = b"card-broken", FAULT_EXIT
        os.write(writing, answer)
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(ANSWER_BYTES_MAX)
    _, ended = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(ended) == 0:
        return answer
    reason = answer.decode() if os.waitstatus_to_exitcode(ended) == FAULT_EXIT else "card-broken"  # otherwise the middleware crashed
    if reason == MADE:
        raise Conflict("This card has a recovery key already.", hint="Use another card, or erase this one first.")
    if reason == EMPTY:
        raise NotFound("This card has no recovery key.", hint="Bring the card of the set that was named.")
    raise Denied(str(CardFault(reason)), hint=HINTS.get(reason, "Insert the card, and start again."), reason=reason)
