"""How fast a client may ask: a bucket of requests that fills by itself, and how many may be under way. Pure, but for its counts.

The pace travels in the client's own ticket ("a second/burst/at once", gateway/clients.py), so that a change of it holds from
the next token on, in every session, without asking anybody. Decided before any work is done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cloister.base.errors import Busy

_PACE: Final = re.compile(r"([1-9]\d{0,6})/([1-9]\d{0,6})/([1-9]\d{0,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pace:
    """Requests a second in the long run; at once after a pause; under way at the same time."""

    per_second: int
    burst: int
    at_once: int


def read_pace(text: str) -> Pace | None:
    """None for a text of no pace: a browser's, or of a gateway that says nothing."""
    found = _PACE.fullmatch(text)
    return Pace(int(found[1]), int(found[2]), int(found[3])) if found else None


class Bucket:
    """The requests of one session's clients."""

    def __init__(self) -> None:
        self._text = ""
        self._pace: Pace | None = None
        self._left = 0.0
        self._at = 0.0
        self._under_way = 0

    def enter(self, text: str, *, now: float) -> None:
        """Counts a request in; `now` in seconds of a steady clock. Busy, with the seconds to wait, when it is one too many."""
        if text != self._text:
            self._text, before, self._pace = text, self._pace, read_pace(text)
            if self._pace is not None:
                self._left = float(self._pace.burst) if before is None else min(self._left, float(self._pace.burst))
                self._at = self._at if before is not None else now
        if self._pace is None:
            self._under_way += 1
            return
        self._left = min(float(self._pace.burst), self._left + (now - self._at) * self._pace.per_second)
        self._at = now
        if self._under_way >= self._pace.at_once:
            raise too_fast(f"This program may have {self._pace.at_once} requests under way at once.", 1)
        if self._left < 1:
            seconds = (1 - self._left) / self._pace.per_second
            raise too_fast(f"This program may ask {self._pace.per_second} times a second.", max(1, round(seconds + 0.5)))
        self._left -= 1
        self._under_way += 1

    def leave(self) -> None:
        self._under_way -= 1


def too_fast(text: str, seconds: int) -> Busy:
    """`expression` carries the seconds for Retry-After."""
    return Busy(text, hint=f"Wait {seconds} s and go on; an operator can change it.", reason="pace", expression=str(seconds))
