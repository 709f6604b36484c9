"""A person's own session from the command line: signed in and unlocked as a browser does it, then asked in JSON.

The passphrase stays in this process. A session that is open already is used again, and is left open.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import httpx
import typer

from cloister.base import errors
from cloister.base.errors import CloisterError, Denied, Unavailable
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.cli.place import Program, Trust
from cloister.zones import algorithms, unlockers

SECONDS_MAX: Final = 120.0
KINDS: Final = (errors.Invalid, Denied, errors.NotFound, errors.Conflict, errors.Busy, Unavailable, errors.Unsupported, errors.Corrupt)
CATEGORIES: Final = {kind.category: kind for kind in KINDS}


class OwnSession:
    """One person, signed in."""

    def __init__(self, settings: Settings, sign_in: str, passphrase: str) -> None:
        trust = Trust(
            base=settings.base_url, ca=str(settings.ca_file), program=Program(client_id="", client_secret=Secret(b""), hospital="")
        )
        self._http = httpx.Client(base_url=trust.base, verify=trust.tls(), timeout=SECONDS_MAX, trust_env=False)
        self._http.headers["accept"] = "application/json"
        started = self.post("/login/start", {"sign_in": sign_in})
        kek, verifier = unlockers.passphrase_secrets(passphrase, started["passphrase"])
        proof = {"flow": started["flow"], "verifier": to_base64(verifier)}
        answer = self._sent("POST", "/login/passphrase", proof)
        place, ticket = answer.json(), answer.headers["set-cookie"].split(";")[0]
        self._http.headers["cookie"] = ticket
        sealed = algorithms.kem_seal(from_base64(place["public_key"]), kek.reveal(), unlockers.session_unlock_info(place["session"]))
        self.post("/session/unlock", {"unlocker": place["unlocker"]["id"], "sealed": to_base64(sealed)})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._sent("POST", path, body)
        return answer.json() if answer.content else {}

    def get(self, path: str) -> Any:
        return self._sent("GET", path, None).json()

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


def signed_in(settings: Settings, sign_in: str) -> OwnSession:
    """Asks for the passphrase on this terminal."""
    return OwnSession(settings, sign_in, typer.prompt(f"Passphrase of {sign_in}", hide_input=True, err=True))


def to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
