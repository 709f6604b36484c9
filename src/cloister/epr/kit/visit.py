"""One request's circumstances: whose session, which language, the record, and how a page is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloister.access import Actor
from cloister.epr.kit.words import Words
from cloister.records import Records

KIT_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A ward whose patients this session can open."""

    id: str
    name: str
    hospital: str  # its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Made by the shell for each request; screens take it from `request.state.visit`."""

    records: Records
    actor: Actor
    words: Words
    wards: tuple[Ward, ...]  # one's own first
    now: datetime
    draw: Callable[[str, Mapping[str, Any]], str]
    modules: tuple[Any, ...]  # of cloister.epr.kit.module.Module, for the chart's cards

    @classmethod
    def of(cls, request: Request) -> Visit:
        visit = request.state.visit
        assert isinstance(visit, cls)
        return visit

    def page(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self.draw(template, context), status_code=status)

    def may(self, roles: frozenset[str]) -> bool:
        return self.actor.role in roles

    def word(self, key: str, **values: object) -> str:
        return self.words(key, **values)


def go(path: str) -> Response:
    """After a form was saved: 303, so that reloading does not send it again (RFC 9110 15.4.4)."""
    return RedirectResponse(path, status_code=303)
