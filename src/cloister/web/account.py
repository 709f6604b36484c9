"""One's own page: the ways to open one's keys, a further passkey, the language. W3C WebAuthn Level 3 with PRF."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.base.errors import Invalid
from cloister.epr import Visit
from cloister.identity import Authenticator, Kind, Person, passkey
from cloister.web.bodies import json_body
from cloister.web.desk import Desk
from cloister.web.enrolment import CONFIRM_PARAMETERS, passphrase_row, unsealed, wrapped_again

LABEL_CHARACTERS_MAX: Final = 80
CREDENTIAL: Final = "credential_id"  # in an unlocker's parameters, so that it is bound to the sealed key


async def show_account(request: Request) -> Response:
    visit, desk = Visit.of(request), desk_of(request)
    rows = await desk.gate.call("trust_material")
    return visit.page(
        "account.html",
        nav="/account",
        unlockers=rows["unlockers"],
        sign_in=rows["person"]["sign_in"],
        added=request.query_params.get("added"),
    )


async def start_passkey(request: Request) -> Response:
    """POST /account/passkeys/start: what the browser needs to make a passkey and to confirm the passphrase."""
    desk = desk_of(request)
    rows = await desk.gate.call("trust_material")
    person = _person(rows["person"])
    present = passphrase_row(rows["unlockers"])
    enrolment = desk.enrolments.begin(person.sign_in, now=desk.clock())
    options = passkey.registration_options(desk.party, person, _existing(rows, person), enrolment.challenge)
    return JSONResponse(
        {
            "flow": enrolment.challenge.flow,
            "public_key": base64.b64encode(enrolment.public_key).decode("ascii"),
            "options": options,
            "passphrase": {name: present["params"][name] for name in CONFIRM_PARAMETERS},
        }
    )


async def add_passkey(request: Request) -> Response:
    """POST /account/passkeys {flow, attestation, sealed, label}: verify the passkey, wrap the unlock key for it, store it."""
    desk = desk_of(request)
    body = await json_body(request)
    enrolment = desk.enrolments.take(text_of(body, "flow", 100), now=desk.clock())
    attestation = body.get("attestation")
    registered = passkey.verified_registration(desk.party, enrolment.challenge, attestation if isinstance(attestation, dict) else {})
    present, fresh = unsealed(enrolment, bytes_of(body, "sealed"))
    rows = await desk.gate.call("trust_material")
    params = {CREDENTIAL: base64.urlsafe_b64encode(registered.credential_id).decode("ascii").rstrip("=")}
    added = wrapped_again(passphrase_row(rows["unlockers"]), desk.actor.person, present, fresh, params)
    await desk.gate.call(
        "unlocker_add",
        id=added.id,
        kind=added.kind,
        params=added.params,
        sealed=added.sealed,
        credential_id=registered.credential_id,
        credential_public=registered.credential_public,
        label=str(body.get("label") or "")[:LABEL_CHARACTERS_MAX],
    )
    return JSONResponse({"id": added.id}, status_code=201)


def desk_of(request: Request) -> Desk:
    desk = request.state.desk
    assert isinstance(desk, Desk)
    return desk


def _person(row: dict[str, Any]) -> Person:
    return Person(
        id=row["id"],
        sign_in=row["sign_in"],
        name=row["name"],
        kind=row["kind"],
        role=row["role"],
        hospital=row["hospital"],
        language=row["language"] or "en",
        disabled=False,
    )


def _existing(rows: dict[str, Any], person: Person) -> list[Authenticator]:
    """Passkeys that the browser must not offer again."""
    found = []
    for row in rows["unlockers"]:
        credential = row["params"].get(CREDENTIAL) if row["kind"] == Kind.PASSKEY else None
        if isinstance(credential, str):
            raw = base64.urlsafe_b64decode(credential + "=" * (-len(credential) % 4))
            found.append(
                Authenticator(id=row["id"], person=person.id, kind=row["kind"], params=row["params"], verifier=None, credential_id=raw)
            )
    return found


def text_of(body: dict[str, Any], name: str, longest: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Invalid(f"'{name}' is missing.", reason="field", expression=name)
    return value


def bytes_of(body: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(text_of(body, name, 8192), validate=True)
    except binascii.Error:
        raise Invalid(f"'{name}' is not base64.", reason="field", expression=name) from None
