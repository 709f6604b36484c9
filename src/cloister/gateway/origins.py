"""Which other sites' pages may ask: those that registered apps come back to, and no others. Fetch Standard, CORS protocol.

A page proves itself by a token, never by our cookie, so no answer allows credentials. The door answers the browser's question
before the request (preflight), which carries no token; the answers with data are a session's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.base.errors import Unavailable
from cloister.gateway import clients
from cloister.gateway.ports import Door

KEPT: Final = timedelta(seconds=10)
ASKED_HEADERS: Final = "authorization, dpop, content-type, accept, prefer, if-match, if-none-match, if-none-exist, cloister-zone"

Endpoint = Callable[[Request], Awaitable[Response]]


class Origins:
    """The origins of all registered apps, as they were a few seconds ago."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._known: frozenset[str] = frozenset()
        self._until: datetime | None = None

    async def named(self, request: Request) -> str | None:
        """The request's origin, if it is one of an app's."""
        origin = request.headers.get("origin")
        if origin is None:
            return None
        now = self._door.clock()
        if self._until is None or now >= self._until:
            with contextlib.suppress(Unavailable):  # what needs no database is answered without one, for the origins that were known
                self._known = frozenset(one for app in await clients.apps(self._door.people) for one in app.origins)
            self._until = now + KEPT
        return origin if origin in self._known else None

    def shared(self, answer: Endpoint) -> Endpoint:
        """The same answer, readable by an app's page."""

        async def answered(request: Request) -> Response:
            given = await answer(request)
            origin = await self.named(request)
            given.headers["vary"] = "Origin"
            if origin is not None:
                given.headers["access-control-allow-origin"] = origin
            return given

        return answered

    async def before(self, request: Request) -> Response:
        """OPTIONS: what an app's page may ask of the FHIR address. Whether it is answered is another question."""
        origin = await self.named(request)
        headers = {"vary": "Origin", "cache-control": "no-store"}
        if origin is not None:
            headers |= {
                "access-control-allow-origin": origin,
                "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
                "access-control-allow-headers": ASKED_HEADERS,
                "access-control-max-age": "600",
            }
        return Response(status_code=204, headers=headers)
