"""One session at the trust: a token that renews itself, and posting that outlives a stopped database. RFC 6749 4.4."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from cloister.base.errors import Busy, CloisterError, Corrupt, Denied, Unavailable
from cloister.cli.importing.answers import Answer, Later, Renew, judge
from cloister.cli.importing.unit import Unit
from cloister.cli.place import Trust

FIRST_CONTACT_SECONDS: Final = 5.0  # nobody there at all: said soon
PATIENCE_SECONDS: Final = 900.0  # somebody was there and went away: waited for
WAIT_SECONDS_MAX: Final = 15.0
RENEW_SECONDS_BEFORE: Final = 60.0
UNIT_SECONDS_MAX: Final = 600.0
LABEL_FIELD: Final = "session_label"
HEADERS: Final = {
    "content-type": "application/fhir+json",
    "accept": "application/fhir+json",
    "prefer": "return=minimal",
    # Keep the ids of urn:uuid entries and skip what is stored: an import can be repeated.
    "cloister-import": "1",
}

Say = Callable[[str], None]


class Channel:
    """A session of its own, told apart by its label, so that several may run side by side."""

    def __init__(self, trust: Trust, label: str, say: Say, *, zone: str | None = None, connections: int = 2) -> None:
        self._trust = trust
        self._label = label
        self._say = say
        self._headers = HEADERS | ({"cloister-zone": zone} if zone else {})
        limits = httpx.Limits(max_connections=connections)
        self._http = httpx.AsyncClient(
            verify=trust.tls(), timeout=httpx.Timeout(UNIT_SECONDS_MAX, connect=10), limits=limits, trust_env=False
        )
        self._token = ""
        self._token_until = 0.0
        self._met = False  # whether the trust has ever answered

    async def send(self, unit: Unit) -> Answer:
        """Post a unit until there is an answer that says what became of it."""
        tries, waited_since, renewed = 0, None, 0
        while True:
            try:
                await self._hold_token()
                response = await self._http.post(f"{self._trust.base}/fhir/R4", content=unit.body, headers=self._headers | self._bearer())
                self._met = True
                answer = judge(unit, response.status_code, response.content, response.headers.get("retry-after", ""))
            except httpx.TransportError as lost:
                answer = Later(why=f"the trust at {self._trust.base} does not answer ({type(lost).__name__})")
            except (Busy, Unavailable) as busy:
                answer = Later(why=busy.text)
            if isinstance(answer, Renew):
                renewed += 1
                self._token = ""
                if renewed <= 3:
                    continue
                raise Denied(
                    "The trust does not accept its own token.", hint="Is the clock of this machine right? See the log of part 'envoy'."
                )
            if not isinstance(answer, Later):
                return answer
            tries += 1
            waited_since = waited_since or time.monotonic()
            await self._wait(answer, tries, time.monotonic() - waited_since)

    async def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """One request at the FHIR endpoint, answered as it is."""
        await self._hold_token()
        headers = {"accept": "application/json"} | self._bearer() | what.pop("headers", {})
        if "cloister-zone" in self._headers:
            headers["cloister-zone"] = self._headers["cloister-zone"]
        try:
            return await self._http.request(method, f"{self._trust.base}/fhir/R4/{path}", headers=headers, **what)
        except httpx.TransportError as lost:
            raise Unavailable(f"The trust at {self._trust.base} does not answer.", hint="Is it running?") from lost

    async def _wait(self, later: Later, tries: int, waited: float) -> None:
        patience = PATIENCE_SECONDS if self._met else FIRST_CONTACT_SECONDS
        if waited > patience or (later.tries_max is not None and tries > later.tries_max):
            hint = "Run the same command again: it goes on where it stopped." if self._met else "Start the trust with `cloister up`."
            raise Unavailable(f"Stopped waiting: {later.why}.", hint=hint)
        seconds = later.seconds or min(WAIT_SECONDS_MAX, 0.2 * 1.6 ** min(tries, 12))
        if tries > 2:
            self._say(f"waiting: {later.why}")
        await asyncio.sleep(seconds)

    def _bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}

    async def _hold_token(self) -> None:
        if self._token and time.monotonic() < self._token_until:
            return
        program = self._trust.program
        form = {"grant_type": "client_credentials", LABEL_FIELD: self._label}
        response = await self._http.post(
            f"{self._trust.base}/oauth2/token", data=form, auth=httpx.BasicAuth(program.client_id, program.client_secret.reveal())
        )
        body = _json(response)
        if response.status_code == 200 and isinstance(body.get("access_token"), str):
            self._met = True
            self._token = body["access_token"]
            self._token_until = time.monotonic() + max(5.0, float(body.get("expires_in", 300)) - RENEW_SECONDS_BEFORE)
            return
        raise _token_refused(response.status_code, body, program.client_id)

    async def close(self) -> None:
        """End the session: its keys should not outlive the import."""
        if self._token:
            try:
                await self._http.post(f"{self._trust.base}/session/end", headers=self._bearer(), timeout=5)
            except httpx.HTTPError:
                self._say("the session could not be ended; it ends by itself")
        await self._http.aclose()


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _token_refused(status: int, body: dict[str, Any], client: str) -> CloisterError:
    text = str(body.get("error_description") or body.get("text") or f"the token endpoint answered {status}")[:200]
    if status in {400, 401, 403}:
        return Denied(f"The trust does not let the program '{client}' in: {text}", hint="Check the program's name and secret.")
    if status == 429:
        return Busy(text)
    if status >= 500:
        return Unavailable(text)
    return Corrupt(f"The token endpoint answered {status}.", hint="Is this address a Cloister trust?")
