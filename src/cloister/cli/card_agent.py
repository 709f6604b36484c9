"""The card agent of this computer, asked over its UNIX socket: a sign-in at the command line with one's card. zones.md 5.1."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx

from cloister.base.errors import Corrupt, Denied, Unavailable
from cloister.base.secret import Secret
from cloister.identity import cards as door
from cloister.zones import algorithms, cards, unlockers

SOCKET: Final = "cloister-card.sock"
SECONDS_MAX: Final = 180.0  # as long as somebody may look for a PIN


class CardAgent:
    """What `cloister-card --socket` answers."""

    def __init__(self, socket: Path) -> None:
        transport = httpx.HTTPTransport(uds=str(socket))
        self._http = httpx.Client(transport=transport, base_url="http://localhost/card/v1", timeout=SECONDS_MAX, trust_env=False)

    def keys(self) -> list[str]:
        """The names of the keys on the inserted cards."""
        return [str(one) for one in self._call("GET", "/state")["keys"]]

    def half(self, offer: dict[str, Any]) -> bytes:
        """The card's half of an unlocker; the agent asks for the PIN."""
        body = {"trust": offer["params"]["trust"], **{name: offer[name] for name in ("person", "unlocker", "params")}}
        return base64.b64decode(self._call("POST", "/unlock", body)["half"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, json=body)
            said = dict(answer.json())
        except (httpx.TransportError, ValueError) as lost:
            raise Unavailable("The card agent of this computer does not answer.", hint="Start cloister-card.") from lost
        if answer.is_success:
            return said
        raise Denied(str(said.get("text", "The card agent refused.")), reason=str(said.get("error", "")))


def agent_here() -> CardAgent | None:
    """The agent of whoever runs this, if one runs."""
    agent = CardAgent(Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / SOCKET)
    try:
        agent.keys()
    except Unavailable:
        return None
    return agent


def own_offer(offers: list[str], keys: list[str]) -> dict[str, Any] | None:
    """The unlocker that one of the inserted cards opens, of those that the door offers for a name."""
    for key in keys:
        for offer in offers:
            try:
                return dict(json.loads(algorithms.aead_open(cards.offer_key(key), base64.b64decode(offer), door.OFFER_LABEL)))
            except Corrupt:  # another card's, or nobody's
                continue
    return None


def card_secrets(agent: CardAgent, offer: dict[str, Any], passphrase: Callable[[], str]) -> tuple[Secret, bytes]:
    """KEK and verifier; a card that only signs needs the passphrase beside it."""
    params, beside = offer["params"], None
    if cards.checked_card_params(params) is cards.Profile.SIGN:
        beside = unlockers.passphrase_root(passphrase(), cards.passphrase_params(params))
    return cards.card_secrets(cards.root_of(agent.half(offer), beside))
