"""What the officers' pages share: the desk, a small form, and acts whose refusal comes back on the page that asked for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.base.errors import HTTP_STATUS, CloisterError, Conflict, Denied, Invalid, NotFound
from cloister.web.desk import Desk

FIELDS_MAX: Final = 40
VALUE_CHARACTERS_MAX: Final = 2000
DAYS_MAX: Final = 1095

Show = Callable[..., Awaitable[Response]]
Act = Callable[[Request, Desk, Mapping[str, str]], Awaitable[str | Response]]


class Typed(dict[str, str]):
    """What was typed into a form; nothing where nothing was."""

    def __missing__(self, name: str) -> str:
        return ""


def desk_of(request: Request) -> Desk:
    desk = request.state.desk
    assert isinstance(desk, Desk)
    return desk


def path_of(request: Request, name: str) -> str:
    """A part of the address."""
    return str(request.path_params[name])[:200]


async def typed(request: Request) -> dict[str, str]:
    """The form's fields as text; raises Invalid when it is not a form."""
    try:
        form: FormData = await request.form(max_files=0, max_fields=FIELDS_MAX)
    except (ValueError, AssertionError) as fault:
        raise Invalid("This is not a form.", reason="form") from fault
    return {name: value[:VALUE_CHARACTERS_MAX] for name, value in form.multi_items() if isinstance(value, str)}


def acting(show: Show, act: Act, *, up: int = 0) -> Callable[[Request], Awaitable[Response]]:
    """POST: does the act and goes where it says (303), or shows the page again with what was typed and why it was refused.

    `up`: how many last parts of the address are the act's and not the page's.
    """

    async def handler(request: Request) -> Response:
        values = await typed(request)
        try:
            went = await act(request, desk_of(request), values)
        except (Invalid, Denied, Conflict, NotFound) as refused:
            if up:  # the page's own address, for what it links back to
                request.scope["path"] = request.scope["path"].rsplit("/", up)[0]
            page = await show(request, typed=values, refused=refused)
            page.status_code = _status(refused)
            return page
        return went if isinstance(went, Response) else RedirectResponse(went, status_code=303)

    return handler


def _status(refused: CloisterError) -> int:
    return HTTP_STATUS[refused.category]


def days(values: Mapping[str, str], name: str = "days") -> int:
    """A number of days; raises Invalid."""
    text = values.get(name, "").strip()
    if not text.isdecimal() or not 1 <= int(text) <= DAYS_MAX:
        raise Invalid("Give a number of days, at most three years.", hint="For example: 365", reason="term")
    return int(text)


def until(values: Mapping[str, str], now: datetime) -> datetime:
    return now + timedelta(days=days(values))


def raw(values: Mapping[str, str], name: str) -> bytes:
    """A hash in hex; raises Invalid."""
    try:
        value = bytes.fromhex(values.get(name, ""))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise Invalid("This names nothing.", hint="Load the page again.", reason="form")
    return value


def names_of(desk: Desk) -> dict[str, str]:
    """Zones by id as people call them: hospitals and wards of the trust, and the zones that this session holds."""
    hospitals = {str(row["id"]): str(row["name"]) for row in desk.directory.get("hospitals", ())}
    names: dict[str, Any] = {str(row["zone"]): hospitals.get(str(row["id"]), "") for row in desk.directory.get("hospitals", ())}
    for row in desk.directory.get("wards", ()):
        names[str(row["zone"])] = f"{hospitals.get(str(row['hospital']), '')}, {row['name']}"
    for held in desk.keyring.zones:
        names.setdefault(held.zone, held.name)
    return dict(sorted(names.items(), key=lambda item: str(item[1])))


def hospitals_of(desk: Desk) -> dict[str, str]:
    return {str(row["id"]): str(row["name"]) for row in desk.directory.get("hospitals", ())}
