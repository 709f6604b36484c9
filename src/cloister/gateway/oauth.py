"""The token endpoint and its neighbours. RFC 6749 4.4 and 5.2, RFC 7662, RFC 7009; HL7 SMART App Launch 2, backend services.

A program gets a session of its own. By a secret: it proves the program and opens its keys, so the door derives the unlock
key, seals it to the session and forgets it; the answer waits until the session is open, so that the token works at once.
By an assertion: the program asks for the session's public key first (`/oauth2/unlock`), and sends what opens its keys sealed
to that; while the session is open, the assertion alone is enough. A program's workers may each fetch a token of its one
session; none ends another's.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Scopes, read_scopes
from cloister.base.errors import CloisterError, Corrupt, Denied, Invalid
from cloister.farm import Bearer, Started, verified_ticket
from cloister.gateway import clients
from cloister.gateway.bound_tokens import bound_by, proof_of
from cloister.gateway.clients import Client
from cloister.gateway.ports import TICKET_SECONDS, Door, note
from cloister.gateway.proving import BASIC, Form, ProvenClient, TokenError, form_of, one, proven_client, proves_app
from cloister.gateway.requests import address_of, gateway_of, not_before
from cloister.identity import sign_in
from cloister.zones import algorithms, unlockers

SCOPE: Final = "system/*.cruds"
SECONDS_SPARED: Final = 10  # a clock that is a little behind still sends a token that holds
LABEL_FIELD: Final = "session_label"  # ours: a program may have several sessions at once, told apart by this
SEALED_FIELD: Final = "session_unlock"  # ours: the unlock key, sealed to the session; base64
SEALED_BYTES_MAX: Final = 4096
FRESH: Final = {"cache-control": "no-store", "pragma": "no-cache"}

Answer = dict[str, Any]


class TokenEndpoint:
    """`further`: what else this endpoint grants, by grant_type (apps of people)."""

    def __init__(self, door: Door, further: dict[str, Callable[[Request, Form], Awaitable[Answer]]] | None = None) -> None:
        self._door = door
        self._grants = {"client_credentials": self._program, **(further or {})}

    async def token(self, request: Request) -> Response:
        """POST /oauth2/token."""
        return await self._answered(request, self._token)

    async def unlock(self, request: Request) -> Response:
        """POST /oauth2/unlock: a session for a program that proves itself by an assertion, and the key to seal its unlock key to."""
        return await self._answered(request, self._unlock)

    async def introspect(self, request: Request) -> Response:
        """POST /oauth2/introspect (RFC 7662). A client learns of its own tokens only; all others are not active."""
        return await self._answered(request, self._introspect)

    async def revoke(self, request: Request) -> Response:
        """POST /oauth2/revoke (RFC 7009): 200 whatever the token was."""
        return await self._answered(request, self._revoke)

    async def _answered(self, request: Request, answer: Callable[[Request, Form], Awaitable[Answer]]) -> Response:
        began = time.monotonic()
        try:
            return JSONResponse(await answer(request, await form_of(request)), headers=FRESH)
        except TokenError as wrong:
            fault = wrong
        except CloisterError as refused:
            fault = fault_of(refused, basic=request.headers.get("authorization") is not None)
        if fault.error == "invalid_client":
            await not_before(began)
        body = {"error": fault.error, "error_description": fault.description}
        return JSONResponse(body, status_code=fault.status, headers={**FRESH, **fault.headers})

    async def _token(self, request: Request, form: Form) -> Answer:
        grant = one(form, "grant_type")
        if grant is None:
            raise TokenError("invalid_request", "'grant_type' is missing.")
        granting = self._grants.get(grant)
        if granting is None:
            raise TokenError("unsupported_grant_type", f"Offered are {', '.join(self._grants)}.")
        return await granting(request, form)

    # --- programs -----------------------------------------------------------------------------------------

    async def _program(self, request: Request, form: Form) -> Answer:
        proof = proof_of(request, now=self._door.clock())
        sealed, label = _sealed(one(form, SEALED_FIELD)), one(form, LABEL_FIELD) or ""
        asked = _asked(one(form, "scope"))
        proven = await proven_client(self._door, request, form)
        granted = granted_scopes(proven.client, asked)
        jkt = await bound_by(self._door, proof, must=proven.client.bound)
        bearer = Bearer(client=proven.client.id, scope="" if granted.whole else str(granted), pace=proven.client.pace, jkt=jkt)
        # One after another: a session's unlock key is used once, so of two tokens fetched at once one would find it gone.
        async with self._door.limits.turn(f"program/{proven.person.id}/{label}"):
            started = await self._opened(proven, label, sealed, bearer, gateway_of(request))
        why = "service" if proven.kek is not None else "service, by assertion"
        await self._door.audit([note("sign-in", address_of(request), actor=proven.person.id, session=started.session, reason=why)])
        shown = SCOPE if granted.whole else str(granted)
        kind = "DPoP" if jkt else "Bearer"
        return {"access_token": started.ticket, "token_type": kind, "expires_in": TICKET_SECONDS - SECONDS_SPARED, "scope": shown}

    async def _opened(self, proven: ProvenClient, label: str, sealed: bytes | None, bearer: Bearer, gateway: str) -> Started:
        """The program's session, open. Without a secret and without a sealed key only one that is open already."""
        broker, person = self._door.broker, proven.person
        started = await broker.start_session(person.id, person.role, "program", label, to=bearer, gateway=gateway)
        if proven.kek is not None:
            sealed = algorithms.kem_seal(started.public_key, proven.kek.reveal(), unlockers.session_unlock_info(started.session))
        if sealed is not None:
            await broker.unlock(started.session, proven.authenticator.id, sealed)
        elif not started.unlocked:
            if not started.reconnected:
                await broker.end_session(started.session, "not-unlocked")
            hint = f"Ask /oauth2/unlock for its key and send {SEALED_FIELD}; `cloister program open` does both."
            raise TokenError("invalid_grant", f"This program's session is not open. {hint}")
        return started

    async def _unlock(self, request: Request, form: Form) -> Answer:
        label = one(form, LABEL_FIELD) or ""
        proven = await proven_client(self._door, request, form)
        if proven.kek is not None:
            raise TokenError("invalid_request", "This is for assertions; with a secret, ask for a token at once.")
        person = proven.person
        async with self._door.limits.turn(f"program/{person.id}/{label}"):
            started = await self._door.broker.start_session(person.id, person.role, "program", label, gateway=gateway_of(request))
        key = base64.b64encode(started.public_key).decode("ascii")
        return {"session": started.session, "public_key": key, "unlocker": proven.authenticator.id, "open": started.unlocked}

    # --- tokens -------------------------------------------------------------------------------------------

    async def _introspect(self, request: Request, form: Form) -> Answer:
        proven = await proven_client(self._door, request, form)
        token = one(form, "token")
        if token is None:
            raise TokenError("invalid_request", "'token' is missing.")
        try:
            claims = verified_ticket(token, self._door.tickets.jwks(), now=self._door.clock())
        except (Corrupt, Denied):
            return {"active": False}
        if claims.client != proven.client.id or not await self._door.broker.is_live(claims.sid, claims.epoch):
            return {"active": False}
        return {
            "active": True,
            "client_id": claims.client,
            "scope": claims.scope or SCOPE,
            "token_type": "DPoP" if claims.jkt else "Bearer",
            **({"cnf": {"jkt": claims.jkt}} if claims.jkt else {}),  # RFC 9449 6.2
            "exp": claims.exp,
            "iat": claims.iat,
            "sub": claims.person,
            "iss": self._door.base_url,
        }

    async def _revoke(self, request: Request, form: Form) -> Answer:
        app = await clients.app(self._door.people, one(form, "client_id") or "")
        if app is not None:
            proves_app(app, request, form)
            client, actor = app.id, app.id
        else:
            proven = await proven_client(self._door, request, form)
            client, actor = proven.client.id, proven.person.id
        token = one(form, "token") or ""
        try:
            claims = verified_ticket(token, self._door.tickets.jwks(), now=self._door.clock())
        except (Corrupt, Denied):
            return {}
        if claims.client == client and await self._door.broker.is_live(claims.sid, claims.epoch):
            await self._door.broker.refuse(claims.sid, epoch=claims.epoch, grant=claims.grant)
            await self._door.audit([note("revoke-token", address_of(request), actor=actor, session=claims.sid)])
        return {}


def granted_scopes(client: Client, asked: Scopes | None) -> Scopes:
    """What a program gets: what it asks for, within what is registered. Raises invalid_scope when nothing is left."""
    most = read_scopes(client.scopes or SCOPE).of_level("system")
    granted = (most if asked is None else asked.of_level("system")).within(most)
    if not granted.resources:
        raise TokenError("invalid_scope", f"Of these scopes none is open to this client. It may have: {most}.")
    return Scopes(granted.resources)


def _asked(text: str | None) -> Scopes | None:
    if text is None:
        return None
    try:
        return read_scopes(text)
    except Invalid as wrong:
        raise TokenError("invalid_scope", f"{wrong.text} {wrong.hint}") from None


def _sealed(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not 0 < len(raw) <= SEALED_BYTES_MAX:
        raise TokenError("invalid_request", f"'{SEALED_FIELD}' is not base64.")
    return raw


def fault_of(refused: CloisterError, *, basic: bool) -> TokenError:
    if refused.reason == sign_in.REFUSED:
        return TokenError("invalid_client", refused.text, 401, BASIC if basic else None)
    if refused.category == "busy":
        retry = {"retry-after": refused.expression} if refused.expression.isdigit() else None
        return TokenError("temporarily_unavailable", f"{refused.text} {refused.hint}", 429, retry)
    if refused.category == "invalid":
        return TokenError("invalid_request", refused.text)
    if refused.reason in ("unlock-message", "wrong-secret", "unlock-key"):
        return TokenError("invalid_grant", f"{refused.text} Ask /oauth2/unlock again, and seal to the key that it gives.")
    return TokenError("temporarily_unavailable", f"{refused.text} {refused.hint}".strip(), 503)
