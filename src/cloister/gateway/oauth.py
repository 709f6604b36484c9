"""The token endpoint: client credentials for programs (RFC 6749 4.4, errors 5.2; HL7 SMART App Launch, backend services).

A program gets a session of its own. The secret that it sends proves it and opens its keys, so the door derives the
unlock key, seals it to the session and forgets it; the answer waits until the session is open, so that the token
works at once. A program's workers may each fetch a token of its one session; none ends another's.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Final
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.base.errors import CloisterError, Denied
from cloister.gateway.ports import TICKET_SECONDS, Door, note
from cloister.gateway.requests import address_of, body_of, not_before
from cloister.identity import Known, programs, sign_in, store
from cloister.zones import algorithms, unlockers

SCOPE: Final = "system/*.cruds"
SECONDS_SPARED: Final = 10  # a clock that is a little behind still sends a token that holds
LABEL_FIELD: Final = "session_label"  # ours: a program may have several sessions at once, told apart by this


class TokenError(Exception):
    """An error of RFC 6749 5.2."""

    def __init__(self, error: str, description: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.headers = headers or {}


def _one(form: dict[str, list[str]], name: str) -> str | None:
    """RFC 6749 3.2: no parameter more than once; one without a value is as if it were absent."""
    values = form.get(name, [])
    if len(values) > 1:
        raise TokenError("invalid_request", f"'{name}' is given twice.")
    return values[0] if values and values[0] else None


def credentials(authorization: str | None, form: dict[str, list[str]]) -> tuple[str, str]:
    """client_secret_basic or client_secret_post, not both (RFC 6749 2.3.1)."""
    posted_id, posted_secret = _one(form, "client_id"), _one(form, "client_secret")
    if authorization is None:
        if posted_id is None or posted_secret is None:
            raise TokenError("invalid_client", "Send client_id and client_secret.", 401)
        return posted_id, posted_secret
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise TokenError("invalid_client", "Use HTTP Basic or the form.", 401, {"www-authenticate": 'Basic realm="cloister"'})
    if posted_secret is not None:
        raise TokenError("invalid_request", "Send the client's secret once: in the header or in the form.")
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        name, colon, secret = "", "", ""
    if not colon or not name or (posted_id is not None and posted_id != unquote_plus(name)):
        raise TokenError("invalid_client", "This is not a client id and secret.", 401, {"www-authenticate": 'Basic realm="cloister"'})
    return unquote_plus(name), unquote_plus(secret)


class TokenEndpoint:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def token(self, request: Request) -> Response:
        """POST /oauth2/token."""
        began = time.monotonic()
        try:
            answer = await self._token(request)
            return JSONResponse(answer, headers={"cache-control": "no-store", "pragma": "no-cache"})
        except TokenError as wrong:
            fault = wrong
        except CloisterError as refused:
            fault = _fault(refused, basic=request.headers.get("authorization") is not None)
        if fault.error == "invalid_client":
            await not_before(began)
        body = {"error": fault.error, "error_description": fault.description}
        return JSONResponse(body, status_code=fault.status, headers={"cache-control": "no-store", "pragma": "no-cache", **fault.headers})

    async def _token(self, request: Request) -> dict[str, str | int]:
        if request.headers.get("content-type", "").split(";", 1)[0].strip().lower() != "application/x-www-form-urlencoded":
            raise TokenError("invalid_request", "Send application/x-www-form-urlencoded.")
        try:
            form = parse_qs((await body_of(request)).decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=30)
        except ValueError:
            raise TokenError("invalid_request", "The form cannot be read.") from None
        grant = _one(form, "grant_type")
        if grant is None:
            raise TokenError("invalid_request", "'grant_type' is missing.")
        if grant != "client_credentials":
            raise TokenError("unsupported_grant_type", "Only client_credentials is offered.")
        client_id, client_secret = credentials(request.headers.get("authorization"), form)
        ticket = await self._open_session(address_of(request), client_id, client_secret, _one(form, LABEL_FIELD) or "")
        return {"access_token": ticket, "token_type": "Bearer", "expires_in": TICKET_SECONDS - SECONDS_SPARED, "scope": SCOPE}

    async def _open_session(self, address: str, client_id: str, client_secret: str, label: str) -> str:
        door = self._door
        # No delay after failures: 32 random bytes cannot be guessed, and a stranger must not be able to stop a laboratory's interface.
        door.limits.begin(address)
        known = await store.known(door.people, client_id)
        try:
            proven = programs.prove_program(known, client_secret, door.secret)
            await store.mark_used(door.people, proven.authenticator, now=door.clock())
        except Denied as refused:
            await self._failed(address, known, refused)
            raise
        program = known.person
        assert program is not None  # a proof has a person
        # One after another: a session's unlock key is used once, so of two tokens fetched at once one would find it gone.
        async with door.limits.turn(f"program/{program.id}/{label}"):
            started = await door.broker.start_session(program.id, program.role, "program", label)
            sealed = algorithms.kem_seal(started.public_key, proven.kek.reveal(), unlockers.session_unlock_info(started.session))
            await door.broker.unlock(started.session, proven.authenticator.id, sealed)
        await door.audit([note("sign-in", address, actor=program.id, session=started.session, reason="service")])
        return started.ticket

    async def _failed(self, address: str, known: Known, refused: Denied) -> None:
        actor = known.person.id if known.person else ""
        await self._door.audit([note("sign-in", address, actor=actor, outcome="refused", reason=refused.reason)])


def _fault(refused: CloisterError, *, basic: bool) -> TokenError:
    if refused.reason == sign_in.REFUSED:
        return TokenError("invalid_client", refused.text, 401, {"www-authenticate": 'Basic realm="cloister"'} if basic else None)
    if refused.category == "busy":
        retry = {"retry-after": refused.expression} if refused.expression.isdigit() else None
        return TokenError("temporarily_unavailable", f"{refused.text} {refused.hint}", 429, retry)
    if refused.category == "invalid":
        return TokenError("invalid_request", refused.text)
    return TokenError("temporarily_unavailable", f"{refused.text} {refused.hint}".strip(), 503)
