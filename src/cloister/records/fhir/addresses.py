"""Which of the endpoint's routes answers a request, found by the number of its path's segments instead of one pattern after another.

A program asks thousands of times a minute, and thirty regular expressions cost it more than its reading. The first
route in the list that fits path and method answers, as in any router; the last one is for everything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Address:
    """A path below the base, such as '/{type}/{id}', and who answers there."""

    path: str
    methods: frozenset[str]
    answer: Answer


class _Place:
    """An address taken apart: which segments must be these very words, and which are given to the interaction by name."""

    __slots__ = ("answer", "literals", "names")

    def __init__(self, address: Address) -> None:
        segments = address.path.split("/")[1:]
        self.literals = [(place, text) for place, text in enumerate(segments) if not text.startswith("{")]
        self.names = [(place, text[1:-1]) for place, text in enumerate(segments) if text.startswith("{")]
        self.answer = address.answer

    def fits(self, segments: Sequence[str]) -> bool:
        for place, text in self.literals:
            if segments[place] != text:
                return False
        return "" not in segments or all(segments[place] for place, _ in self.names)


def fitting(addresses: Sequence[Address], path: str) -> Iterator[tuple[frozenset[str], dict[str, str]]]:
    """The methods of each address that a path below the base fits, with what stands in its places; for who asks, not for answering."""
    segments = path.split("/")[1:]
    for address in addresses:
        place = _Place(address)
        if address.path.count("/") == len(segments) and place.fits(segments):
            yield address.methods, {name: segments[at] for at, name in place.names}


class _Headers(Headers):
    """Found by name at once: an interaction asks for ten of them, and each would be a walk through all. The first of equal names counts."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._first = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(self.raw)}

    def get(self, key: str, default: Any = None) -> Any:
        return self._first.get(key.lower(), default)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._first


class _Request(Request):
    @property
    def headers(self) -> Headers:
        if not hasattr(self, "_headers"):
            self._headers = _Headers(self.scope)
        return self._headers


class Addresses:
    """An ASGI application. `otherwise` answers where no address fits."""

    def __init__(self, base: str, addresses: Sequence[Address], otherwise: Answer) -> None:
        self._base = base
        self._otherwise = otherwise
        self._places: dict[tuple[str, int], list[_Place]] = {}  # by method and number of segments
        for address in addresses:
            for method in address.methods:
                self._places.setdefault((method, address.path.count("/")), []).append(_Place(address))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self.answer(scope, receive))(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        path: str = scope["path"]
        rest = path[len(self._base) :]
        if not path.startswith(self._base) or rest[:1] not in ("", "/"):
            return PlainTextResponse("Not Found", status_code=404)
        segments = rest.split("/")[1:]
        answer, names = self._otherwise, dict[str, str]()
        for place in self._places.get((scope["method"], len(segments)), ()):
            if place.fits(segments):
                answer, names = place.answer, {name: segments[at] for at, name in place.names}
                break
        scope["path_params"] = names
        return await answer(_Request(scope, receive))
