"""A person's own session from the command line: signed in and unlocked as a browser does it, then asked in JSON.

By passphrase, or by the
card that the card agent of this computer has for this name. The passphrase stays in this process. A session that is open already
is used again, and is left open.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import typer

from cloister.base import errors
from cloister.base.errors import CloisterError, Denied, Unavailable
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.cli.card_agent import CardAgent, agent_here, card_secrets, own_offer
from cloister.cli.key_bound import KeyBound
from cloister.cli.place import Program, Trust
from cloister.zones import algorithms, unlockers

SECONDS_MAX: Final = 120.0
KINDS: Final = (errors.Invalid, Denied, errors.NotFound, errors.Conflict, errors.Busy, Unavailable, errors.Unsupported, errors.Corrupt)
CATEGORIES: Final = {kind.category: kind for kind in KINDS}


class OwnSession:
    """One person, signed in."""

    def __init__(
        self,
        settings: Settings,
        sign_in: str,
        passphrase: str | Callable[[], str],
        agent: CardAgent | None = None,
        *,
        card_only: bool = True,
        code: Callable[[], str] | None = None,
    ) -> None:
        """With an agent by the inserted card; unless `card_only`, by passphrase where that card is not this person's.

        `code`: the one-time code that goes with the passphrase."""
        trust = Trust(
            base=settings.base_url, ca=str(settings.ca_file), program=Program(client_id="", client_secret=Secret(b""), hospital="")
        )
        self._proofs = KeyBound()
        self._http = httpx.Client(base_url=trust.base, verify=trust.tls(), timeout=SECONDS_MAX, trust_env=False, auth=self._proofs)
        self._http.headers["accept"] = "application/json"
        typed = passphrase if callable(passphrase) else lambda: passphrase
        started = self.post("/login/start", {"sign_in": sign_in, "cards": agent is not None})
        offer = own_offer(started["cards"], agent.keys()) if agent else None
        if agent and offer:
            kek, verifier = card_secrets(agent, offer, typed)
            proof = {"flow": started["flow"], "unlocker": offer["unlocker"], "verifier": to_base64(verifier)}
            self._proofs.nonce = started["flow"]
            answer = self._sent("POST", "/login/card", proof)
        elif agent and card_only:
            raise Denied(f"No inserted card is one of {sign_in}.", hint="Insert the right card, or check the name.", reason="other-card")
        else:
            kek, verifier = unlockers.passphrase_secrets(typed(), started["passphrase"])
            self._proofs.nonce = started["flow"]
            body = {"flow": started["flow"], "verifier": to_base64(verifier), **({"code": code()} if code else {})}
            answer = self._sent("POST", "/login/passphrase", body)
        place, ticket = answer.json(), answer.headers["set-cookie"].split(";")[0]
        self._http.headers["cookie"] = ticket
        sealed = algorithms.kem_seal(from_base64(place["public_key"]), kek.reveal(), unlockers.session_unlock_info(place["session"]))
        self.post("/session/unlock", {"unlocker": place["unlocker"]["id"], "sealed": to_base64(sealed)})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._sent("POST", path, body)
        return answer.json() if answer.content else {}

    def posted(self, path: str, fields: dict[str, str]) -> tuple[int, str]:
        """A page's form: the status, and where it leads; a page that says no is told by its status. Raises what refuses otherwise."""
        try:
            answer = self._http.post(path, data=fields)
        except httpx.TransportError as lost:
            raise Unavailable(f"The trust does not answer ({type(lost).__name__}).", hint="Is it running? See `cloister up`.") from lost
        if answer.has_redirect_location or answer.is_success or answer.headers.get("content-type", "").startswith("text/html"):
            return answer.status_code, answer.headers.get("location", "")
        raise _refused(answer)

    def get(self, path: str) -> Any:
        return self._sent("GET", path, None).json()

    def document(self, path: str, parameters: dict[str, str], language: str) -> bytes:
        """A file that a page hands out."""
        asked = str(httpx.URL(path, params=parameters))
        ticket = self._http.headers["cookie"]
        self._http.headers["cookie"] = f"{ticket}; language={language}"
        try:
            return self._sent("GET", asked, None).content
        finally:
            self._http.headers["cookie"] = ticket

    def lines(self, path: str) -> Iterator[str]:
        """A stream of the session's, line by line, until it ends."""
        with self._http.stream("GET", path, headers={"accept": "text/event-stream"}) as answer:
            if not answer.is_success:
                answer.read()
                raise _refused(answer)
            yield from answer.iter_lines()

    def touch(self, path: str) -> None:
        """Whether the session still answers; raises what it says instead."""
        self._sent("GET", path, None)

    def close(self) -> None:
        self._http.close()

    def _sent(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as lost:
            raise Unavailable(
                f"The trust at {self._http.base_url} does not answer ({type(lost).__name__}).", hint="Is it running? See `cloister up`."
            ) from lost
        if answer.is_success:
            return answer
        raise _refused(answer)


def _refused(answer: httpx.Response) -> CloisterError:
    """The session's own words, in the same category."""
    try:
        said = answer.json()
        kind = CATEGORIES.get(said.get("category"), Denied)
        return kind(str(said["text"]), hint=str(said.get("hint", "")), reason=str(said.get("error", "")))
    except (ValueError, KeyError, AttributeError):
        return Unavailable(f"The trust answered with {answer.status_code}.", hint="See `cloister up`.")


def signed_in(settings: Settings, sign_in: str, code: Callable[[], str] | None = None) -> OwnSession:
    """By the inserted card if it is this person's, else by the passphrase, which is asked for on this terminal; `code` beside it."""
    return OwnSession(settings, sign_in, lambda: ask_passphrase(sign_in), agent_here(), card_only=False, code=code)


def ask_code() -> str:
    return str(typer.prompt("One-time code", err=True))


def ask_passphrase(sign_in: str) -> str:
    return str(typer.prompt(f"Passphrase of {sign_in}", hide_input=True, err=True))


def to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
