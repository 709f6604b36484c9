"""The form of an office page's route: its address, the page kind that the policy decides about, its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from cloister.access import Page

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class OfficeRoute:
    """`methods` is GET for what shows and POST for what changes."""

    path: str
    page: Page
    handler: Handler
    methods: tuple[str, ...] = ("GET",)
