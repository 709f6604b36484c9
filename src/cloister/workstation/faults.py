"""What can go wrong at a card, by name: the page has its own sentence for each, in its person's language."""

from __future__ import annotations

from typing import Final

TEXTS: Final = {
    "no-module": "The PKCS#11 module could not be used. Install the card's middleware, or name its module with --module.",
    "no-card": "There is no card in the reader. Insert your card, and try again.",
    "no-certificate": "This card holds no certificate with a key that Cloister can use. Ask the certificate officer.",
    "other-card": "This card is not the one that was added for this person. Insert the right card.",
    "card-expired": "The certificate on this card has ended. Sign in another way, and ask for a new card.",
    "card-pulled": "The card was pulled out. Insert it again, and start again.",
    "card-blocked": "This card is blocked after too many wrong PINs. The certificate officer can unblock it.",
    "card-broken": "The card gave no answer that can be used. Try again, then ask IT.",
    "card-no-room": "This card takes no private data object, which an EC card needs. Use its RSA key or another card.",
    "wrong-pin": "The PIN is wrong. Try again.",
    "wrong-pin-low": "The PIN is wrong. Only few tries are left before the card is blocked.",
    "wrong-pin-final": "The PIN is wrong. One more wrong PIN blocks the card.",
    "pin-cancelled": "No PIN was given.",
    "no-prompt": "There is no way to ask for the PIN here. Install pinentry, or name a program with --pin-program.",
    "busy": "The card is being asked already. Answer that question first.",
    "origin": "This address may not use the card. Add it to the agent's origins if it is your trust's.",
    "other-user": "This agent serves the person who started it only.",
    "request": "This is not a request that the card agent understands.",
}


class CardFault(Exception):
    """A named reason; never carries a PIN, a key or what a card answered."""

    def __init__(self, reason: str) -> None:
        super().__init__(TEXTS[reason])
        self.reason = reason
