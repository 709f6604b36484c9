"""Proving oneself again inside an open session: for what the trust's rules want a fresh proof. docs/sign-in.md.

The proof is that the secret opens one's keys once more: the browser seals it to the session's fresh key, as at unlocking. Neither the
door nor the estate has a part in it.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Page
from cloister.epr import Visit
from cloister.web.account import CREDENTIAL, desk_of
from cloister.web.enrolment import CONFIRM_PARAMETERS
from cloister.web.offices.route import OfficeRoute


async def show(request: Request) -> Response:
    """GET /account/again?back=/…: by passphrase or passkey, and then back."""
    back = request.query_params.get("back", "/")
    return Visit.of(request).page("again.html", nav="/account", back=back if _own_path(back) else "/")


async def start(request: Request) -> Response:
    """POST /account/again/start: the parameters of one's own ways."""
    rows = (await desk_of(request).gate.call("trust_material"))["unlockers"]
    return JSONResponse({"passphrase": _passphrase(rows), "passkeys": _passkeys(rows)})


def _own_path(back: str) -> bool:
    return back.startswith("/") and not back.startswith(("//", "/\\"))


def _passphrase(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = [row for row in rows if row["kind"] == "passphrase"]
    if not found:
        return None
    return {"unlocker": found[-1]["id"], "params": {name: found[-1]["params"][name] for name in CONFIRM_PARAMETERS}}


def _passkeys(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    keys = [row for row in rows if row["kind"] == "passkey" and CREDENTIAL in row["params"]]
    return [{"unlocker": row["id"], "credential": row["params"][CREDENTIAL]} for row in keys]


ROUTES: Final = (
    OfficeRoute("/account/again", Page.ACCOUNT, show, ("GET",)),
    OfficeRoute("/account/again/start", Page.ACCOUNT, start, ("POST",)),
)
