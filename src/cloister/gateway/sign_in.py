"""People sign in: a name, then a proof, then a session of their own and the ticket that leads to it.

The passphrase never comes here, only a verifier derived from it; a passkey's PRF output never comes here at all.
Whoever fails gets one answer, after one time, for whichever reason.
"""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.base.errors import CloisterError, Denied
from cloister.gateway.ports import Door, note, ticket_cookie
from cloister.gateway.requests import address_of, bytes_of, json_of, not_before, refusal_response, text_of
from cloister.identity import Authenticator, Kind, Known, cards, challenge, passkey, sign_in, store

VERIFIER_BYTES: Final = 32


class SignIn:
    """The calls of a sign-in. A flow is used once: after a refusal the browser starts again."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def start(self, request: Request) -> Response:
        """POST /login/start {sign_in, cards?}: what this name may prove itself with; of the same form for a name that nobody has.

        What a card is asked takes 22 kB, so that it is sent only to a page that has a card (`cards` is true).
        """
        door = self._door
        try:
            address = address_of(request)
            door.limits.begin(address)
            asked = await json_of(request)
            name = sign_in.normalised(text_of(asked, "sign_in", sign_in.SIGN_IN_CHARACTERS_MAX))
            known = self._people(await store.known(door.people, name))
            flow = door.challenges.issue(challenge.Purpose.SIGN_IN, name, now=door.clock())
            body = {
                "flow": flow.flow,
                "passphrase": sign_in.passphrase_parameters(known, door.secret),
                "passkey": passkey.authentication_options(door.party, known, flow, door.secret),
                **({"cards": cards.offers(known)} if asked.get("cards") is True else {}),
            }
            return JSONResponse(body, headers={"cache-control": "no-store"})
        except CloisterError as refused:
            return refusal_response(refused)

    async def passphrase(self, request: Request) -> Response:
        """POST /login/passphrase {flow, verifier}."""
        return await self._proven(request, Kind.PASSPHRASE)

    async def passkey(self, request: Request) -> Response:
        """POST /login/passkey {flow, assertion}: a PublicKeyCredential as JSON (WebAuthn 3, 5.1.8.1)."""
        return await self._proven(request, Kind.PASSKEY)

    async def card(self, request: Request) -> Response:
        """POST /login/card {flow, unlocker, verifier}."""
        return await self._proven(request, Kind.CARD)

    @staticmethod
    def _people(known: Known) -> Known:
        """A program's name is no name here: programs have the token endpoint."""
        if known.person is not None and known.person.kind != "person":
            return replace(known, person=None, authenticators=())
        return known

    async def _proven(self, request: Request, kind: Kind) -> Response:
        door, began, address = self._door, time.monotonic(), address_of(request)
        try:
            body = await json_of(request)
            flow = door.challenges.take(text_of(body, "flow"), challenge.Purpose.SIGN_IN, now=door.clock())
            async with door.limits.turn(flow.subject):
                known, proof = await self._proved(kind, address, flow, body)
            return await self._started(address, known, proof)
        except CloisterError as refused:
            if refused.reason in (sign_in.REFUSED, "challenge-over"):
                await not_before(began)
            return refusal_response(refused)

    async def _proved(self, kind: Kind, address: str, flow: challenge.Challenge, body: dict[str, Any]) -> tuple[Known, Authenticator]:
        """Who it is and by which proof; a failure is counted and audited before it is raised."""
        door = self._door
        known = self._people(await store.known(door.people, flow.subject))
        guessable = kind is Kind.PASSPHRASE or (kind is Kind.CARD and cards.guessable(known, str(body.get("unlocker"))))
        await door.limits.check(address, flow.subject if guessable else None)
        try:
            proof = self._proof(kind, known, flow, body)
            await store.mark_used(door.people, proof, now=door.clock())
        except Denied as refused:
            await self._failed(address, known, refused)
            raise
        await door.limits.succeeded(flow.subject)
        return known, proof

    def _proof(self, kind: Kind, known: Known, flow: challenge.Challenge, body: dict[str, Any]) -> Authenticator:
        door = self._door
        if kind is Kind.PASSPHRASE:
            return sign_in.prove(known, kind, bytes_of(body, "verifier", VERIFIER_BYTES), door.secret)
        if kind is Kind.CARD:
            verifier = bytes_of(body, "verifier", VERIFIER_BYTES)
            return cards.prove(known, text_of(body, "unlocker", 100), verifier, door.secret, now=door.clock())
        assertion = body.get("assertion")
        return passkey.verified_authentication(door.party, known, flow, assertion if isinstance(assertion, dict) else {})

    async def _failed(self, address: str, known: Known, refused: Denied) -> None:
        actor = known.person.id if known.person else ""
        await self._door.limits.failed(address, known.sign_in)
        await self._door.audit([note("sign-in", address, actor=actor, outcome="refused", reason=refused.reason)])

    async def _started(self, address: str, known: Known, proof: Authenticator) -> Response:
        door, person = self._door, known.person
        assert person is not None  # a proof has a person
        try:
            started = await door.broker.start_session(person.id, person.role, "person")
        except CloisterError as refused:
            await door.audit([note("sign-in", address, actor=person.id, outcome="failed", reason=refused.reason or refused.category)])
            raise
        reason = f"{proof.kind}, joined again" if started.reconnected else str(proof.kind)
        await door.audit([note("sign-in", address, actor=person.id, session=started.session, reason=reason)])
        body = {
            "session": started.session,
            "public_key": base64.b64encode(started.public_key).decode("ascii"),
            "unlocker": {"id": proof.id, "kind": str(proof.kind)},
            "next": "/",
        }
        return JSONResponse(body, headers={"cache-control": "no-store", "set-cookie": ticket_cookie(started.ticket)})
