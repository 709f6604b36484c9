"""The pages of a session that are open now, and what is pushed to them: server-sent events (HTML Living Standard, 9.2).

One stream a page, at /session/live. It tells a page to lock, that the session went elsewhere, to save what is typed, to show a
message. It carries no patient data and needs no key. A stream ends after STREAM_SECONDS and the page opens it again, because Envoy
bounds every answer; an idle stream costs no processor time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.base.errors import Busy

STREAM_SECONDS: Final = 240.0  # Envoy ends an answer after 300
PAGES_MAX: Final = 32
EVENTS_WAITING_MAX: Final = 100
RETRY_MILLISECONDS: Final = 300

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(eq=False, slots=True)
class OpenPage:
    """One page's stream; None in the queue ends it."""

    waiting: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(EVENTS_WAITING_MAX))

    def put(self, event: bytes | None) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # a page that does not read is told anew when it comes back
            self.waiting.put_nowait(event)


class OpenPages:
    """`changed` is called with how many there are, whenever one comes or goes."""

    def __init__(self, changed: Callable[[int], None]) -> None:
        self._changed = changed
        self._pages: set[OpenPage] = set()
        self._saving: set[OpenPage] = set()
        self._saved = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pages)

    def tell(self, event: str, **words: Any) -> int:
        """To every open page; says how many they are."""
        line = written(event, words)
        for page in self._pages:
            page.put(line)
        return len(self._pages)

    def dismiss(self, event: str, **words: Any) -> None:
        """A last word to every page that is open now."""
        self.tell(event, **words)
        for page in self._pages:
            page.put(None)

    async def save(self, seconds: float) -> bool:
        """Ask every page to send what is typed and not sent yet; true when all have answered in time."""
        self._saving = set(self._pages)
        self._saved.clear()
        if not self.tell("save"):
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._saved.wait(), seconds)
        return not self._saving

    def saved(self) -> None:
        """One page has answered; which one does not matter."""
        if self._saving:
            self._saving.pop()
        if not self._saving:
            self._saved.set()

    async def stream(self, first: list[bytes], receive: Receive, send: Send) -> None:
        """Serve one page until it goes, is dismissed, or has to open its stream again."""
        if len(self._pages) >= PAGES_MAX:
            raise Busy("Too many pages of this session are open.", hint="Close some of them.", reason="pages-max")
        page = OpenPage()
        self._pages.add(page)
        self._changed(len(self._pages))
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(lambda _: page.put(None))
        ending = asyncio.get_running_loop().call_later(STREAM_SECONDS, page.put, None)
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for word in (b"retry: %d\n\n" % RETRY_MILLISECONDS, *first):
                await send({"type": "http.response.body", "body": word, "more_body": True})
            while (line := await page.waiting.get()) is not None and not gone.done():
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            ending.cancel()
            gone.cancel()
            self._pages.discard(page)
            self._saving.discard(page)
            if not self._saving:
                self._saved.set()
            self._changed(len(self._pages))


def written(event: str, words: dict[str, Any]) -> bytes:
    """JSON has no line ends of its own, so one data line holds it."""
    return f"event: {event}\ndata: {json.dumps(words)}\n\n".encode()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
