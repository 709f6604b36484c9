"""Passes for what carries no proof (RFC 9449): a WebSocket's handshake, which no service worker sees, and a page's own step to the next
where the browser admits no worker. A page asks for a pass by a request that is proven, and shows it once, at once, for just that. A stolen
cookie opens no socket and no page either.
"""

from __future__ import annotations

import secrets
from typing import Final

from cloister.base.errors import Denied

PASS_SECONDS: Final = 20.0
PASSES_MAX: Final = 16
MARK: Final = "pass."  # before a pass, among the handshake's subprotocols (RFC 6455 1.9)


class Passes:
    """Of one session. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, float]] = {}  # pass -> (what for, until)

    def issue(self, what: str, *, now: float) -> str:
        self._waiting = {word: one for word, one in self._waiting.items() if one[1] > now}
        while len(self._waiting) >= PASSES_MAX:
            del self._waiting[next(iter(self._waiting))]
        word = MARK + secrets.token_urlsafe(24)
        self._waiting[word] = (what, now + PASS_SECONDS)
        return word

    def take(self, offered: list[str], what: str, *, now: float) -> str:
        """The pass among what is offered; Denied unless it is one of ours, for just this, in time, and unused."""
        for word in offered:
            known = self._waiting.pop(word, None) if word.startswith(MARK) else None
            if known is not None and known[0] == what and known[1] > now:
                return word
        raise Denied("This was not asked for by this session's page.", hint="Load the page again.", reason="pass")
