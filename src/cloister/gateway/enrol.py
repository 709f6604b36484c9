"""Enrolment at the door: a name and a one-time code, then the new public keys. Spec: docs/spec/zones.md 19.

The private keys stay in the browser, except sealed under keys that only the applicant can make again. The code is good
for one answer; whoever fails gets one answer, after one time, for whichever reason. Nobody can sign in with this yet:
the certificate officer compares the keys' words with the person first.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from cloister.base.errors import CloisterError, Conflict, Denied, Invalid
from cloister.gateway.ports import Door
from cloister.gateway.requests import address_of, bytes_of, json_of, language_of, not_before, refusal_response, text_of
from cloister.identity import Person, cards, challenge, passkey, sign_in
from cloister.offices import application, certifying
from cloister.zones import Forged, unlockers

REFUSED: Final = "enrolment-refused"
LABEL_CHARACTERS_MAX: Final = 80
WAITING: Final = """
    select id, person, name, role, hospital, language, code from trust.applicant
     where sign_in = $1 and state = 'open' and now() < until limit 1"""
TRUST: Final = "select id, name from trust.trust limit 1"
BY_ID: Final = "select id, person, sign_in from trust.applicant where id = $1 and state = 'open' and now() < until"
ANSWER: Final = """
    update trust.applicant set kem_public = $2, sign_public = $3, sealed_private = $4, unlockers = $5::text::jsonb, challenge = $6,
           proof = $7, answered = now(), state = 'answered'
     where id = $1 and state = 'open' and now() < until returning id"""


class Enrol:
    """GET /enrol, POST /enrol/start and POST /enrol/finish."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def page(self, request: Request) -> Response:
        language = request.query_params.get("lang") or language_of(request)
        return HTMLResponse(self._door.render("enrol.html", language=language), headers={"cache-control": "no-store"})

    async def start(self, request: Request) -> Response:
        """{sign_in, code}: who the code is for, and what the browser needs to make the keys."""
        door, began, address = self._door, time.monotonic(), address_of(request)
        try:
            door.limits.begin(address)
            body = await json_of(request)
            name = sign_in.normalised(text_of(body, "sign_in", sign_in.SIGN_IN_CHARACTERS_MAX))
            async with door.limits.turn(name):
                row = await self._known(address, name, text_of(body, "code", 64))
            trust = await door.people.fetchrow(TRUST)
            flow = await door.challenges.issue(challenge.Purpose.ENROLMENT, row["id"])
            return JSONResponse(
                {
                    "flow": flow.flow,
                    "challenge": base64.b64encode(flow.value).decode("ascii"),
                    "trust": trust["id"],
                    "trust_name": trust["name"],
                    "applicant": row["id"],
                    "person": row["person"],
                    "name": row["name"],
                    "role": row["role"],
                    "cost": sign_in.PASSPHRASE_COST,
                    "passkey": passkey.registration_options(door.party, person_of(row, name), (), flow),
                },
                headers={"cache-control": "no-store"},
            )
        except CloisterError as refused:
            if refused.reason == REFUSED:
                await not_before(began)
            return refusal_response(refused)

    async def _known(self, address: str, name: str, code: str) -> Any:
        """The applicant of this name and code; a failure is counted and noted before it is raised."""
        door = self._door
        await door.limits.check(address, name)
        row = await door.people.fetchrow(WAITING, name)
        expected = bytes(row["code"]) if row is not None else sign_in.imitation(door.secret, "imitated-code", name)
        if not hmac.compare_digest(certifying.code_hash(code), expected) or row is None:
            await door.limits.failed(address, name)
            await door.audit([_note(address, "start", outcome="refused", reason=REFUSED)])
            raise Denied(
                "This name and this code do not belong together.", hint="Ask the certificate officer for a new code.", reason=REFUSED
            )
        await door.limits.succeeded(name)
        return row

    async def finish(self, request: Request) -> Response:
        """{flow, kem_public, sign_public, sealed_private, unlockers, proof}: kept for the certificate officer."""
        door, address = self._door, address_of(request)
        try:
            body = await json_of(request)
            flow = await door.challenges.take(text_of(body, "flow"), challenge.Purpose.ENROLMENT)
            trust, row = await door.people.fetchrow(TRUST), await door.people.fetchrow(BY_ID, flow.subject)
            if row is None:
                raise _used()
            brought = checked_body(body, flow, trust=str(trust["id"]), row=row)
            rows = json.dumps([stored_row(one, flow, door.party, now=door.clock()) for one in brought.unlockers])
            values = (brought.kem_public, brought.sign_public, brought.sealed_private, rows, flow.value, brought.proof)
            if await door.people.fetchrow(ANSWER, row["id"], *values) is None:
                raise _used()
            await door.audit([_note(address, "answer", actor=row["person"])])
            return JSONResponse({"words": brought.words}, status_code=201, headers={"cache-control": "no-store"})
        except CloisterError as refused:
            return refusal_response(refused)


def checked_body(body: dict[str, Any], flow: challenge.Challenge, *, trust: str, row: Any) -> application.Application:
    rows = body.get("unlockers")
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise Invalid("'unlockers' is missing.", reason="application")
    try:
        return application.checked(
            trust=trust,
            applicant=row["id"],
            person=row["person"],
            challenge=flow.value,
            kem_public=application.octets(body.get("kem_public"), "kem_public"),
            sign_public=bytes_of(body, "sign_public", 32),
            sealed_private=application.octets(body.get("sealed_private"), "sealed_private"),
            unlockers=rows,
            proof=application.octets(body.get("proof"), "proof"),
        )
    except Forged:
        raise Invalid("The signature does not fit the keys.", hint="Start the enrolment again.", reason="application") from None


def stored_row(row: Mapping[str, Any], flow: challenge.Challenge, party: passkey.RelyingParty, *, now: datetime) -> dict[str, Any]:
    """A row of trust.unlocker, bytes as base64. A passkey's public half is what its attestation says, and nothing else."""
    kept = {"id": row["id"], "kind": row["kind"], "params": row["params"], "sealed": row["sealed"]}
    kept["label"] = str(row.get("label") or "")[:LABEL_CHARACTERS_MAX]
    if row["kind"] in ("passphrase", "card"):
        if row["kind"] == "card":
            check_card(row["params"], now=now)
        if len(application.octets(row.get("verifier"), "verifier")) != 32:
            raise Invalid("'verifier' is not 32 bytes.", reason="application")
        return {**kept, "verifier": row["verifier"]}
    attestation = row.get("attestation")
    registered = passkey.verified_registration(party, flow, attestation if isinstance(attestation, dict) else {})
    named = base64.urlsafe_b64encode(registered.credential_id).decode("ascii").rstrip("=")
    if row["params"] != {"credential_id": named}:
        raise Invalid("The passkey is not the one that was sealed for.", reason="application")
    return {
        **kept,
        "credential_id": base64.b64encode(registered.credential_id).decode("ascii"),
        "credential_public": base64.b64encode(registered.credential_public).decode("ascii"),
        "sign_count": registered.sign_count,
    }


def check_card(params: dict[str, Any], *, now: datetime) -> None:
    try:
        unlockers.check_params("card", params)
    except Denied:
        raise Invalid("This is not what a card agent answers.", hint="Start the enrolment again.", reason="application") from None
    cards.check_valid(params["not_after"], now=now)


def person_of(row: Any, name: str) -> Person:
    return Person(
        id=row["person"], sign_in=name, name=row["name"], kind="person", role=row["role"], hospital=row["hospital"],
        language=row["language"], disabled=False,
    )  # fmt: skip


def _used() -> Conflict:
    return Conflict("This code was used, or is over.", hint="Ask the certificate officer for a new code.", reason="enrolment-over")


def _note(address: str, step: str, *, actor: str = "", outcome: str = "success", reason: str = "") -> dict[str, str]:
    return {
        "action": f"enrol-{step}", "kind": "applicant", "actor": actor, "session": "", "object": f"address/{address}", "outcome": outcome,
        "reason": reason,
    }  # fmt: skip
