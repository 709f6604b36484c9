"""`cloister session shadow`: look at a colleague's page from a terminal, when they let you in on their own screen. View only.

It is the showing of the pages (docs/sessions.md), asked from one's own session: the person reads who asks, and sees a line while somebody
looks. What is printed is the page's text; nothing can be pressed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Annotated, Any, Final

import typer

from cloister.base.errors import CloisterError, Denied, NotFound
from cloister.base.settings import read_settings
from cloister.cli.own_session import OwnSession, signed_in

LOOK_SECONDS: Final = 0.5
CONSENT_SECONDS_MAX: Final = 300.0
BLOCKS: Final = frozenset(
    {"p", "div", "section", "tr", "li", "h1", "h2", "h3", "h4", "dt", "dd", "form", "header", "article", "br", "label", "option", "summary"}
)


def shadow(
    whom: Annotated[str, typer.Argument(help="The sign-in name of who shall show their screen.")],
    me: Annotated[str, typer.Option("--sign-in", help="Your own sign-in name.")],
) -> None:
    """Ask somebody to show you their screen, and print what it says as it changes, until either ends it (Ctrl-C)."""
    session = signed_in(read_settings(), me)
    try:
        for line in watched(session, whom):
            print(line, flush=True)
    except KeyboardInterrupt:
        print("You look no longer.")
    finally:
        session.close()


def watched(session: OwnSession, whom: str, *, pause: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Lines to print; ends when the showing does. Denied when the person says no or does not answer."""
    status, where = session.posted("/shadow", {"sign_in": whom})
    if status == 404:
        raise NotFound(
            f"{whom} has no session that could be shown.", hint="Is the name right, and are they signed in?", reason="shadow-whom"
        )
    address, seen, shown, began = where.rstrip("/"), 0, False, time.monotonic()
    yield f"{whom} is asked on their screen; waiting for their answer."
    try:
        while True:
            said: dict[str, Any] = session.get(f"{address}/look?after={seen}")
            if said["state"] == "refused":
                raise Denied(f"{whom} said no.", reason="shadow-refused")
            if said["state"] == "ended":
                yield "The showing is over."
                return
            if not shown and said["state"] == "shown":
                shown = True
                yield f"{said['name']} shows you their screen. They see that you look."
            if not shown and time.monotonic() - began > CONSENT_SECONDS_MAX:
                raise Denied(f"{whom} did not answer.", hint="Ask again when they are at their screen.", reason="shadow-unanswered")
            if said["picture"] is not None:
                seen = int(said["seq"])
                yield from as_text(said["picture"])
            pause(LOOK_SECONDS)
    finally:
        with contextlib.suppress(CloisterError):
            session.posted(f"{address}/end", {})


def as_text(picture: dict[str, Any]) -> list[str]:
    """A page's picture as lines. Whatever a page holds, no control character of it reaches the terminal."""
    reader = _Text()
    reader.feed(str(picture.get("html", "")))
    reader.close()
    lines = [" ".join(line.split()) for line in "".join(reader.found).split("\n")]
    head = f"--- {picture.get('title', '')} ({picture.get('path', '')})"
    return ["".join(one for one in line if one.isprintable()) for line in (head, *(line for line in lines if line))]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self.found.append("\n")
        elif tag in ("td", "th"):
            self.found.append(" \t")
        elif tag == "input":
            given = dict(attrs)
            box = given.get("type") in ("checkbox", "radio")
            self.found.append((" [x] " if "checked" in given else " [ ] ") if box else f" [{given.get('value') or ''}] ")

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.found.append("\n")

    def handle_data(self, data: str) -> None:
        self.found.append(data.replace("\n", " "))
