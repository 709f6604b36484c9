"""A session's standing under the trust's rules: the rules in force, where each request comes from, and how the person proved themselves.

The rules come through the gate and are believed for the access root's signature alone. A version that does not fit it opens nothing
new; a session that is open goes on under the last good one. The proof that opened the keys is known here; further factors are the
door's word.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from cloister.access import rules
from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.server import SessionRuntime, Token
from cloister.zones import TrustRoots

ADDRESS: Final = b"x-cloister-address"  # Envoy's own: a client's was removed (gateway, headers.py)
AAL_OF: Final = {"passphrase": 1, "passkey": 2, "card": 3, "service": 2}
RETRY_SECONDS: Final = 0.5


class Standings:
    def __init__(self, runtime: SessionRuntime, roots: TrustRoots) -> None:
        self._runtime = runtime
        self._roots = roots
        self._bundle = rules.usual()
        self._said: dict[str, Any] = {}  # by the door, of this sign-in
        self._last: tuple[Any, rules.Standing] = (None, rules.Standing())  # what it was made of; the next request's is mostly the same
        runtime.on_rules(self.refresh)

    @property
    def bundle(self) -> rules.Bundle:
        return self._bundle

    def in_force(self) -> rules.Rules:
        return self._bundle.rules

    async def begin(self) -> None:
        """At unlocking: the rules of now, and what the door says of this sign-in. Raises Forged for rules that nobody signed."""
        await self._read()
        if self._runtime.assignment.kind == "person":
            with contextlib.suppress(CloisterError):  # without the door's word only the proof that opened the keys counts
                self._said = await self._runtime.ask_controller("signed_in_how")

    async def refresh(self) -> None:
        """A new version is out: tried until it is read; what nobody signed is said and left."""
        while True:
            try:
                await self._read()
                return
            except CloisterError as fault:
                if fault.category in ("corrupt", "invalid"):
                    log("session.rules_refused", level="error", text=fault.text)
                    return
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        body = await self._runtime.gate.call("rules_now")
        if body is None:
            return
        found = rules.opened(bytes(body), self._roots)
        if found.version > self._bundle.version:
            self._bundle = found

    def of(self, scope: Any, token: Token | None) -> rules.Standing:
        """The standing of one request."""
        address = dict(scope["headers"]).get(ADDRESS, b"").decode("latin-1")
        proved = self._runtime.proved
        minutes = max(0, int((time.monotonic() - (proved.at if proved is not None else 0.0)) // 60))
        application = "desk" if token is None or not token.client else ("app" if token.grant else "fhir")
        made_of = (address, proved, minutes, application, self._bundle, self._said)
        if made_of != self._last[0]:
            self._last = (made_of, self._made(address, proved.kind if proved is not None else "", minutes, application))
        return self._last[1]

    def _made(self, address: str, kind: str, minutes: int, application: str) -> rules.Standing:
        place, site = self._bundle.networks.of(address)
        said = self._said
        return rules.Standing(
            address=address,
            place=place,
            site=site,
            aal=max(AAL_OF.get(kind, 1), int(said.get("aal", 1))),
            minutes=minutes,
            factors=frozenset({kind, *map(str, said.get("factors", ()))}),
            application=application,
            account=str(said.get("account", "none")),
        )
