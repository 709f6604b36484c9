"""How fast a client may ask: a bucket of requests that fills by itself, and how many may be under way.

A program's requests are counted in one place for all of its sessions, on whatever servers (gateway/clients.py); a session takes
half a second's worth of them in advance, and keeps them for five. An app's, and those of a program while nobody can be asked,
are counted here, by the pace that travels in the ticket ("a second/burst/at once"). Decided before any work is done.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.base.errors import Busy, CloisterError

ASKED_SECONDS_MAX: Final = 1.0
# What was taken in advance and not used by then is gone, so that a new limit holds soon. With one second, 120 sessions that each
# answered two requests a second asked the controller for every second one of them.
KEPT_SECONDS: Final = 5.0
TEXTS_MAX: Final = 16
ALONE_SECONDS: Final = 2.0  # after nobody answered, so long this session counts for itself

Ask = Callable[[], Awaitable[Mapping[str, Any]]]

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

    def passed(self) -> None:
        """A request that was counted elsewhere is under way here."""
        self._under_way += 1

    def leave(self) -> None:
        self._under_way -= 1


class Shared:
    """The requests of one session of a program, within what all of the program's sessions may have."""

    def __init__(self, ask: Ask) -> None:
        """`ask`: Uses.pace of gateway/clients.py."""
        self._ask = ask
        self._own = Bucket()
        self._left = 0
        self._taken = 0.0
        self._texts: set[str] = set()  # the paces of the tickets that came here
        self._per_second = 0
        self._share = 0
        self._under_way = 0
        self._wait_until = 0.0
        self._alone_until = 0.0
        self._asking: asyncio.Future[None] | None = None

    async def enter(self, text: str, *, shared: bool, now: float) -> None:
        """Counts a request in; `now` in seconds of a steady clock. Busy, with the seconds to wait, when it is one too many.

        `shared`: a program's own, not an app's."""
        if (shared and self._is_new(text)) or now - self._taken > KEPT_SECONDS:  # a pace that no ticket has told yet holds at once
            self._left = 0
        if shared and read_pace(text) is not None and now >= self._alone_until:
            await self._take(now)
        if not shared or self._left < 1:
            self._own.enter(text, now=now)
            self._under_way += 1
            return
        if self._under_way >= self._share:
            raise too_fast(f"Each open session of this program may have {self._share} requests under way at once.", 1)
        self._left -= 1
        self._under_way += 1
        self._own.passed()

    def _is_new(self, text: str) -> bool:
        """Only the first ticket with this pace: one of before, which comes in between, wastes nothing."""
        if text in self._texts:
            return False
        if len(self._texts) >= TEXTS_MAX:
            self._texts.clear()
        self._texts.add(text)
        return True

    def leave(self) -> None:
        self._own.leave()
        self._under_way -= 1

    async def _take(self, now: float) -> None:
        while self._left < 1 and now >= self._alone_until:
            if now < self._wait_until:
                seconds = self._wait_until - now
                raise too_fast(
                    f"This program may ask {self._per_second} times a second, in all of its sessions together.",
                    max(1, round(seconds + 0.5)),
                )
            if self._asking is None:
                self._asking = asyncio.ensure_future(self._fetch(now))
            await asyncio.shield(self._asking)

    async def _fetch(self, now: float) -> None:
        try:
            said = await asyncio.wait_for(self._ask(), ASKED_SECONDS_MAX)
            self._left += int(said["taken"])
            self._taken = now
            self._per_second, self._share = int(said["per_second"]), int(said["share"])
            self._wait_until = now + float(said["wait_seconds"])
        except (CloisterError, TimeoutError):
            self._alone_until = now + ALONE_SECONDS
        finally:
            self._asking = None


def too_fast(text: str, seconds: int) -> Busy:
    """`expression` carries the seconds for Retry-After."""
    return Busy(text, hint=f"Wait {seconds} s and go on; an operator can change it.", reason="pace", expression=str(seconds))
