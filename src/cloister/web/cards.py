"""Adding a smartcard inside one's session, as a passkey is added: the passphrase again, and the unlock key wrapped once more.

The card is asked by the agent of the person's workstation; here come its parameters, a verifier, and both keys sealed.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Page
from cloister.base.errors import Conflict, Corrupt, Denied, Invalid
from cloister.identity import Kind, cards
from cloister.web.account import LABEL_CHARACTERS_MAX, bytes_of, desk_of, text_of
from cloister.web.bodies import json_body
from cloister.web.enrolment import CONFIRM_PARAMETERS, passphrase_row, unsealed, wrapped_again
from cloister.web.offices.route import OfficeRoute
from cloister.zones import unlockers

VERIFIER_BYTES: Final = 32


async def start_card(request: Request) -> Response:
    """POST /account/cards/start: what the card's half will be bound to, and how the passphrase is confirmed.

    The flow's name becomes the unlocker's id: the half is bound to it before anything is stored. `cost` is for a card
    that only signs, beside which a passphrase stays.
    """
    desk = desk_of(request)
    rows = await desk.gate.call("trust_material")
    _check_room(rows)
    present = passphrase_row(rows["unlockers"])
    enrolment = desk.enrolments.begin(rows["person"]["sign_in"], now=desk.clock())
    return JSONResponse(
        {
            "flow": enrolment.challenge.flow,
            "public_key": base64.b64encode(enrolment.public_key).decode("ascii"),
            "passphrase": {name: present["params"][name] for name in CONFIRM_PARAMETERS},
            "trust": rows["trust"]["id"],
            "person": desk.actor.person,
            "cost": unlockers.new_passphrase_params(),
        }
    )


async def add_card(request: Request) -> Response:
    """POST /account/cards {flow, params, verifier, sealed, label}."""
    desk = desk_of(request)
    body = await json_body(request)
    enrolment = desk.enrolments.take(text_of(body, "flow", 100), now=desk.clock())
    verifier, params = bytes_of(body, "verifier"), body.get("params")
    if len(verifier) != VERIFIER_BYTES or not isinstance(params, dict):
        raise Invalid("This is not what a card agent answers.", hint="Start again.", reason="field", expression="params")
    present, fresh = unsealed(enrolment, bytes_of(body, "sealed"))
    rows = await desk.gate.call("trust_material")
    _check_room(rows)
    try:
        unlockers.check_params(Kind.CARD, params)
    except Denied:
        raise Invalid("This is not what a card agent answers.", hint="Start again.", reason="field", expression="params") from None
    _check_new(rows, params)
    cards.check_valid(params["not_after"], now=desk.clock())
    flow = enrolment.challenge.flow
    added = wrapped_again(passphrase_row(rows["unlockers"]), desk.actor.person, present, fresh, params, kind=Kind.CARD, id=flow)
    await desk.gate.call(
        "unlocker_add",
        id=added.id,
        kind=added.kind,
        params=added.params,
        sealed=added.sealed,
        verifier=unlockers.stored_verifier(verifier),
        label=str(body.get("label") or "")[:LABEL_CHARACTERS_MAX],
    )
    return JSONResponse({"id": added.id}, status_code=201)


def _own(rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows["unlockers"] if row["kind"] == Kind.CARD]


def _check_room(rows: dict[str, Any]) -> None:
    if len(_own(rows)) >= cards.CARDS_PER_PERSON_MAX:
        raise Invalid(
            f"You have {cards.CARDS_PER_PERSON_MAX} cards already.", hint="Remove one that you no longer use.", reason="too-many-cards"
        )


def _check_new(rows: dict[str, Any], params: dict[str, Any]) -> None:
    if params["trust"] != rows["trust"]["id"]:
        raise Corrupt("This card was added for another trust.", hint="Start again.", reason="trust")
    if any(row["params"]["key"] == params["key"] for row in _own(rows)):
        raise Conflict("This card is yours already.", hint="Remove it first to add it again.", reason="card-exists")


ROUTES: Final = (
    OfficeRoute("/account/cards/start", Page.ACCOUNT, start_card, ("POST",)),
    OfficeRoute("/account/cards", Page.ACCOUNT, add_card, ("POST",)),
)
