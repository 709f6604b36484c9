"""A message to the program's session at the trust, and its acknowledgements back. RFC 6749 4.4; POST /fhir/R4/$hl7v2."""

from __future__ import annotations

import asyncio
import contextlib
import encodings.iso8859_1
import encodings.iso8859_15  # noqa: F401 - of acknowledgements; once root is given up, no library is read any more
import time
from typing import Final

import httpx

from cloister.base.clock import system_clock
from cloister.base.errors import Busy, CloisterError, Unavailable
from cloister.base.telemetry import log
from cloister.cli.importing.channel import Channel
from cloister.cli.place import Trust
from cloister.integration import away

TOGETHER_MAX: Final = 16  # messages of all connections that are with the record at once
ANSWER_SECONDS_MAX: Final = 60.0
LABEL: Final = "mllp"
MEDIA: Final = "x-application/hl7-v2+er7"
PATH: Final = "/fhir/R4/$hl7v2"
AGAIN: Final = frozenset({401, 408, 421, 425, 429, 500, 502, 503, 504})
PAUSE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 3.0


class Forwarder(Channel):
    """The program's session, for messages. It is made when the first one comes, and again whenever it is gone."""

    def __init__(self, trust: Trust, *, zone: str, on_error: str, assumed: str, patience: float) -> None:
        super().__init__(trust, LABEL, _say, zone=zone or None, connections=TOGETHER_MAX)
        self._signing_in = asyncio.Lock()
        self._parameters = {"on-error": on_error, "assumed": assumed}
        self._patience = patience

    async def warm(self) -> None:
        """One request, so that everything is loaded while this process may still read its own libraries."""
        with contextlib.suppress(httpx.HTTPError):
            await self._http.get(f"{self._trust.base}/login/keys", timeout=5)

    async def forward(self, message: bytes, certificate: str = "") -> list[bytes]:
        """What to answer. While the trust cannot be reached it is tried again; in the end its sender is told to keep it.

        `certificate`: the one that the sender has shown, by its SHA-256.
        """
        until = time.monotonic() + self._patience
        pause = PAUSE_SECONDS
        while True:
            answer, why = await self._try(message, certificate)
            if answer is not None:
                return answer
            if time.monotonic() + pause > until:
                log("mllp.not_taken", level="warning", why=why)
                return [text] if (text := away(message, system_clock())) else []
            await asyncio.sleep(pause)
            pause = min(PAUSE_SECONDS_MAX, pause * 2)

    async def _try(self, message: bytes, certificate: str) -> tuple[list[bytes] | None, str]:
        """(the acknowledgements, or None to try again; why)."""
        try:
            async with self._signing_in:
                await self._hold_token()
            headers = {"content-type": MEDIA, "accept": "application/json"} | self._bearer()
            if "cloister-zone" in self._headers:
                headers["cloister-zone"] = self._headers["cloister-zone"]
            address = f"{self._trust.base}{PATH}"
            asked = self._parameters | {"certificate": certificate}
            response = await self._http.post(address, params=asked, content=message, headers=headers, timeout=ANSWER_SECONDS_MAX)
        except httpx.TransportError as lost:
            return None, type(lost).__name__
        except (Busy, Unavailable) as busy:
            return None, busy.reason or busy.category
        except CloisterError as refused:  # the program is not let in: somebody must look, and the message stays with its sender
            log("mllp.not_let_in", level="error", text=refused.text)
            return None, "not-let-in"
        if response.status_code == 200:
            body = response.json()
            self._met = True
            log("mllp.taken", fate=body["fate"], again=body["again"], reason=body["reason"])
            return [text.encode(body["charset"], "replace") for text in body["acknowledgements"]], ""
        if response.status_code in (401, 421):
            self._token = ""
        if response.status_code not in AGAIN:
            log("mllp.refused", level="error", status=response.status_code)
        return None, f"http-{response.status_code}"


def _say(text: str) -> None:
    log("mllp.waiting", why=text)
