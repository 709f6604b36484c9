"""Showing one's screen to a second person: who asks and who lets in is signed, the pictures are sealed from session to session.
Spec: docs/spec/zones.md 31.

The watcher gets a key for pictures of this one showing and nothing else: no zone's key, no grant, no way to act. What is shown is
what the shown person sees, because that person let the watcher in; both names are on record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.base.errors import Denied
from cloister.base.wire import Caller
from cloister.identity import learn_signers
from cloister.zones import Forged, Keyring, Refusal, algorithms, compression, envelope

ASK_LABEL: Final = "cloister/shadow-ask/v1"
ANSWER_LABEL: Final = "cloister/shadow-answer/v1"
FRAME_LABEL: Final = b"cloister/shadow-frame/v1|"


@dataclass(frozen=True, slots=True)
class Asking:
    """A verified question: who wants to see this person's screen, from which session, and the key to answer to."""

    id: str
    person: str
    name: str
    since: str
    state: str
    session: str  # that shows, if one does
    hash: bytes
    ephemeral: bytes


@dataclass(slots=True)
class Watching:
    """One showing from the watcher's side; its private key answers to nobody else's letter."""

    id: str
    shown: str
    letter: bytes
    private: algorithms.KemPrivate
    key: bytes = b""
    name: str = ""


async def ask(keyring: Keyring, gate: Caller, *, sign_in: str, session: str, now: datetime) -> Watching:
    private = algorithms.KemPrivate(algorithms.random(32))
    body = {
        "trust": keyring.trust_id, "to": sign_in, "session": session, "ephemeral": private.public, "at": int(now.timestamp() * 1000),
    }  # fmt: skip
    letter = keyring.sign(ASK_LABEL, body)
    number, shown = await gate.call("shadow_ask", sign_in=sign_in, letter=letter)
    return Watching(str(number), str(shown), envelope.digest(letter), private)


async def asking(keyring: Keyring, gate: Caller, *, sign_in: str, now: datetime) -> list[Asking]:
    """Who asks to see this person's screen, or sees it. What is not signed by whom the letter box names is left out."""
    found = []
    for number, watcher, state, letter, since, shows in await gate.call("shadow_of_me"):
        try:
            await learn_signers(gate, keyring, [bytes(letter)], now)
            one = _asking(keyring, bytes(letter), now, str(number), str(since), str(state), str(shows or ""))
        except Forged:
            continue
        if one.person == watcher and envelope.peek_body(bytes(letter)).get("to") == sign_in:
            found.append(one)
    return found


def _asking(keyring: Keyring, blob: bytes, now: datetime, number: str, since: str, state: str, shows: str) -> Asking:
    author = keyring.author_at(envelope.certificate_hash(envelope.peek_signer(blob)), now)
    body = envelope.fields(ASK_LABEL, blob, author.sign_public)
    if body.text("trust") != keyring.trust_id:
        raise Forged(Refusal.TRUST)
    return Asking(number, author.person, author.name, since, state, shows, envelope.digest(blob), body.octets("ephemeral"))


async def let_in(keyring: Keyring, gate: Caller, asked: Asking, *, now: datetime) -> bytes:
    """The key of this showing, sealed to the watcher's session alone."""
    key = algorithms.random(algorithms.KEY_BYTES)
    body: dict[str, Any] = {"trust": keyring.trust_id, "letter": asked.hash, "at": int(now.timestamp() * 1000)}
    body["sealed"] = algorithms.kem_seal(asked.ephemeral, key, envelope.bound(ANSWER_LABEL, keyring.signer.id, body))
    await gate.call("shadow_answer", id=asked.id, answer=keyring.sign(ANSWER_LABEL, body))
    return key


async def opened(keyring: Keyring, gate: Caller, watching: Watching, answer: bytes, now: datetime) -> None:
    """Take the key out of the answer, if the person who was asked gave it for exactly this letter."""
    await learn_signers(gate, keyring, [answer], now)
    signer = envelope.peek_signer(answer)
    author = keyring.author_at(envelope.certificate_hash(signer), now)
    body = envelope.fields(ANSWER_LABEL, answer, author.sign_public)
    if body.text("trust") != keyring.trust_id or author.person != watching.shown or body.octets("letter", 32) != watching.letter:
        raise Forged(Refusal.SWAPPED)
    rest = {name: value for name, value in envelope.peek_body(answer).items() if name != "sealed"}
    watching.key = watching.private.open(body.octets("sealed"), envelope.bound(ANSWER_LABEL, signer, rest))
    watching.name = author.name


def sealed_frame(key: bytes, number: str, picture: dict[str, Any]) -> bytes:
    plain = compression.compress(json.dumps(picture, ensure_ascii=False).encode(), 0)
    return algorithms.aead_seal(key, plain, FRAME_LABEL + number.encode())


def opened_frame(key: bytes, number: str, sealed: bytes) -> dict[str, Any]:
    if not key:
        raise Denied("This screen is not shown to you.", reason="shadow-over")
    picture = json.loads(compression.decompress(0, algorithms.aead_open(key, sealed, FRAME_LABEL + number.encode())))
    if not isinstance(picture, dict):
        raise Forged(Refusal.MALFORMED)
    return picture
