"""One's own ways in: a new passphrase in place of the old one, and the end of a passkey or card. Two always stay.

The session forgot the unlock key on purpose, so whoever changes the passphrase proves the old one again, or a passkey. Who can
prove neither goes to the certificate officer, who enrols anew: nobody resets anything here.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import Invalid, NotFound
from cloister.base.ids import new_id
from cloister.identity import sign_in
from cloister.web.account import CREDENTIAL, bytes_of, desk_of, text_of
from cloister.web.bodies import json_body
from cloister.web.enrolment import CONFIRM_PARAMETERS, passphrase_row, unsealed, wrapped_again
from cloister.web.offices.route import OfficeRoute
from cloister.zones import unlockers

KINDS: Final = ("passphrase", "passkey")


async def start_passphrase(request: Request) -> Response:
    """POST /account/passphrase/start: the old passphrase's parameters, one's passkeys, and a key to seal to."""
    desk = desk_of(request)
    rows = await desk.gate.call("trust_material")
    present = passphrase_row(rows["unlockers"])
    enrolment = desk.enrolments.begin(rows["person"]["sign_in"], now=desk.clock())
    keys = [
        {"unlocker": row["id"], "credential": row["params"][CREDENTIAL]}
        for row in rows["unlockers"]
        if row["kind"] == "passkey" and CREDENTIAL in row["params"]
    ]
    return JSONResponse(
        {
            "flow": enrolment.challenge.flow,
            "public_key": base64.b64encode(enrolment.public_key).decode("ascii"),
            "unlocker": present["id"],
            "passphrase": {name: present["params"][name] for name in CONFIRM_PARAMETERS},
            "cost": sign_in.PASSPHRASE_COST,
            "passkeys": keys,
        }
    )


async def change_passphrase(request: Request) -> Response:
    """POST /account/passphrase {flow, unlocker, sealed, params, verifier}: the same unlock key under the new passphrase."""
    desk, body = desk_of(request), await json_body(request)
    enrolment = desk.enrolments.take(text_of(body, "flow", 100), now=desk.clock())
    present, fresh = unsealed(enrolment, bytes_of(body, "sealed"))
    rows = (await desk.gate.call("trust_material"))["unlockers"]
    proof = _own(rows, text_of(body, "unlocker", 100))
    params: Any = body.get("params")
    unlockers.checked_passphrase_params(params if isinstance(params, dict) else {})
    verifier = bytes_of(body, "verifier")
    if len(verifier) != 32:
        raise Invalid("'verifier' is not 32 bytes.", reason="field")
    made = wrapped_again(proof, desk.actor.person, present, fresh, dict(params), kind=unlockers.UnlockerKind.PASSPHRASE, id=new_id())
    await desk.gate.call(
        "unlocker_replace",
        id=made.id,
        replaces=passphrase_row(rows)["id"],
        params=made.params,
        sealed=made.sealed,
        verifier=verifier,
    )
    return JSONResponse({"id": made.id}, status_code=201)


async def remove(request: Request) -> Response:
    """POST /account/unlockers/{unlocker}/remove: the gate keeps two, and every passphrase."""
    await desk_of(request).gate.call("unlocker_remove", id=str(request.path_params["unlocker"])[:100])
    return RedirectResponse("/account?added=removed", status_code=303)


def _own(rows: list[dict[str, Any]], unlocker: str) -> dict[str, Any]:
    for row in rows:
        if row["id"] == unlocker and row["kind"] in KINDS:
            return row
    raise NotFound("You have no such way to unlock.", hint="Load the page again.", reason="unlocker")


ROUTES: Final = (
    OfficeRoute("/account/passphrase/start", Page.ACCOUNT, start_passphrase, ("POST",)),
    OfficeRoute("/account/passphrase", Page.ACCOUNT, change_passphrase, ("POST",)),
    OfficeRoute("/account/unlockers/{unlocker}/remove", Page.ACCOUNT, remove, ("POST",)),
)
