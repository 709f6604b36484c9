"""The card agent: knows which cards are in the readers, asks for the PIN, and has a card do one operation.

A PIN is asked for each time, here and never in a page, and forgotten with the operation. Each question says who asks and for what.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cloister.workstation import pkcs11
from cloister.workstation.faults import CardFault
from cloister.workstation.pkcs11 import Module, Refusal, Token
from cloister.workstation.profiles import Asked, Use, asked_of, check_valid, enrol, unlock
from cloister.workstation.x509 import Certificate, NotReadable, read_certificate

POLL_SECONDS: Final = 0.25
ID_CHARACTERS_MAX: Final = 200

Prompt = Callable[[str], str]  # what is asked, to the PIN; raises CardFault(pin-cancelled)
T = TypeVar("T")
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Card:
    """One in a reader, with what it shows to everybody."""

    token: Token
    certificates: tuple[Certificate, ...]


class Agent:
    def __init__(self, module: Module, prompt: Prompt, *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._module, self._prompt, self._clock = module, prompt, clock
        self._calling = threading.Lock()  # the module is called by one thread at a time
        self._asking = threading.Lock()  # and one question is on the screen at a time
        self._changed = threading.Condition()
        self._cards: dict[tuple[int, str], Card] = {}
        self._stop = threading.Event()
        self._look()
        self._watcher = threading.Thread(target=self._watch, name="cards", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        self._stop.set()
        self._watcher.join(5)

    # --- which cards are there -----------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        """Polled, because a blocking C_WaitForSlotEvent is missing in some modules and cannot be ended in others."""
        with self._calling:
            try:
                found = {(token.slot, token.serial): token for token in self._module.tokens()}
            except Refusal:
                found = {}
            read = {place: self._cards.get(place) or self._read(token) for place, token in found.items()}
            cards = {place: card for place, card in read.items() if card is not None}
        if cards.keys() != self._cards.keys():
            with self._changed:
                self._cards = cards
                self._changed.notify_all()

    def _read(self, token: Token) -> Card | None:
        """None for one that does not answer yet, as just after it was put in: the next look asks again."""
        certificates = []
        try:
            with self._module.session(token.slot) as session:
                for thing in session.find({pkcs11.CLASS: pkcs11.CERTIFICATE}):
                    try:
                        certificates.append(read_certificate(session.attribute(thing, pkcs11.VALUE), session.attribute(thing, pkcs11.ID)))
                    except NotReadable:
                        continue
        except CardFault:
            return None
        return Card(token, tuple(sorted(certificates, key=lambda one: (not one.for_people, one.key))))

    def cards(self) -> list[Card]:
        return list(self._cards.values())

    def state(self) -> dict[str, Any]:
        """What a page may know before a PIN was given: that there are cards, and their public keys' names."""
        keys = [one.key for card in self.cards() for one in card.certificates]
        return {"cards": len(self._cards), "keys": keys}

    def stays(self, key: str, seconds: float) -> bool:
        """Whether the card of this key is there; True after `seconds`, False as soon as it is pulled out."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while any(one.key == key for card in self._cards.values() for one in card.certificates):
                left = deadline - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False

    # --- asking a card -------------------------------------------------------------------------------

    def unlock(self, who: str, body: dict[str, Any]) -> dict[str, Any]:
        """{trust, person, unlocker, params} to {half}."""
        params = body.get("params")
        if not isinstance(params, dict) or not isinstance(params.get("key"), str) or not isinstance(params.get("not_after"), int):
            raise CardFault("request")
        use = _use(body)
        card, certificate = self._find(params["key"])
        check_valid(min(params["not_after"], certificate.not_after), self._clock())
        answer = self._asked(card, certificate, f"{who} asks your card to sign you in.", lambda asked: unlock(asked, use, params))
        return {"half": base64.b64encode(answer).decode("ascii")}

    def enrol(self, who: str, body: dict[str, Any]) -> dict[str, Any]:
        """{trust, person, unlocker} to {params, half}: the first certificate that has not ended, and has a key."""
        use = _use(body)
        card, certificate = self._find(None)
        question = f"{who} asks to add your card, so that it opens your account."
        params, answer = self._asked(card, certificate, question, lambda asked: enrol(asked, use), writing=True)
        return {"params": params, "half": base64.b64encode(answer).decode("ascii"), "name": certificate.name}

    def _find(self, key: str | None) -> tuple[Card, Certificate]:
        cards = self.cards()
        if not cards:
            raise CardFault("no-card")
        found = [(card, one) for card in cards for one in card.certificates if key in (None, one.key)]
        if not found:
            raise CardFault("no-certificate" if key is None else "other-card")
        now = self._clock().timestamp() * 1000
        valid = [(card, one) for card, one in found if now < one.not_after]
        if not valid:
            raise CardFault("card-expired")
        return valid[0]

    def _asked(self, card: Card, certificate: Certificate, question: str, work: Callable[[Asked], T], *, writing: bool = False) -> T:
        """The PIN first, without holding the module; then login, one operation, logout."""
        if not self._asking.acquire(blocking=False):
            raise CardFault("busy")
        try:
            pin = None
            if not card.token.flags & pkcs11.PIN_PAD:
                pin = self._prompt(f"{question}\nCard: {certificate.name or card.token.label}\nPIN of the card:")
            with self._calling:
                token = self._module.token(card.token.slot)
                if token is None or token.serial != card.token.serial:
                    raise CardFault("card-pulled")
                with self._module.session(token.slot, writing=writing) as session:
                    session.login(pin)
                    return work(asked_of(self._module, session, token, certificate))
        finally:
            self._asking.release()


def _use(body: dict[str, Any]) -> Use:
    values = [body.get(name) for name in ("trust", "person", "unlocker")]
    if not all(isinstance(one, str) and 0 < len(one) <= ID_CHARACTERS_MAX for one in values):
        raise CardFault("request")
    return Use(*map(str, values))
