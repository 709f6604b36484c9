"""The ASGI shell in front of the application: every request is checked here before a page or FHIR call sees it.

Envoy sets x-cloister-sid, -epoch and -exp from the verified ticket and strips what a client sends. Another
session's ticket answers 421 (RFC 9110 15.5.20), a replaced or locked session 401. Serves /session/* itself.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from cloister.base.errors import HTTP_STATUS, ISSUE_CODE, Busy, CloisterError, Corrupt, Denied, Invalid
from cloister.base.telemetry import log
from cloister.base.wire import where_of
from cloister.farm import SessionState
from cloister.server.pace import Bucket
from cloister.server.runtime import SessionRuntime

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

COOKIE: Final = "__Host-ticket"
COOKIE_RULES: Final = "Path=/; Secure; HttpOnly; SameSite=Strict"
RENEW_WHEN_SECONDS_LEFT: Final = 300
RENEWAL_WAIT_SECONDS: Final = 2.0
FRESH_TICKET_SECONDS: Final = 60
BODY_BYTES_MAX: Final = 16_384
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PAGE_OF_SIGN_IN: Final = b"/login"
JSON: Final = b"application/json"
FHIR: Final = "/fhir/"
NO_HEADERS: Final[Headers] = []
# Written by Envoy from a verified ticket; what a client sends under these names was removed before.
TOKEN_HEADERS: Final = {f"x-cloister-{name}".encode(): name for name in ("client", "scope", "grant", "pace")}


@dataclass(frozen=True, slots=True)
class Token:
    """What a verified ticket says of a client: see farm/tickets.py. All empty for a browser."""

    client: str = ""
    scope: str = ""
    grant: str = ""
    pace: str = ""

    @property
    def narrow(self) -> bool:
        return bool(self.scope or self.grant)


NO_TOKEN: Final = Token()


@dataclass(frozen=True, slots=True)
class Ask:
    """What the shell needs to know of a request."""

    path: str
    method: str
    sid: bytes
    epoch: int
    expires: int
    page: bool  # a browser wants a page
    htmx: bool
    from_elsewhere: bool  # another site caused it (Fetch Metadata)
    token: Token = NO_TOKEN
    quiet: bool = False  # the page asks by itself: nobody's work, so it does not keep the session unlocked


class Shell:
    def __init__(self, application: Asgi, runtime: SessionRuntime) -> None:
        self._application = application
        self._runtime = runtime
        self._renewal: asyncio.Task[str | None] | None = None
        self._renewed_at = 0.0
        self._bucket = Bucket()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise AssertionError("The session's server speaks HTTP only.")
        ask = read_ask(scope)
        try:
            self._check(ask)
            if ask.path.startswith("/session/"):
                await self._own(ask, receive, send)
                return
            self._runtime.actor  # noqa: B018 - raises Denied(locked)
        except CloisterError as refused:
            await refuse(ask, refused, send)
            return
        state = scope.setdefault("state", {})
        state["runtime"], state["token"] = self._runtime, ask.token
        try:
            self._bucket.enter(ask.token.pace, now=time.monotonic())
        except Busy as refused:
            self._runtime.used.refused += 1
            self._runtime.tell_used()
            await refuse(ask, refused, send)
            return
        try:
            with contextlib.nullcontext() if ask.quiet else self._runtime.in_use():
                await self._serve(ask, scope, receive, self._renewing(ask, send))
        finally:
            self._bucket.leave()

    async def _serve(self, ask: Ask, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except Exception as fault:  # the process's edge: the fault is ours; its text, which may quote a record, stays here
            log("session.request_fault", level="error", kind=type(fault).__name__, where=where_of(fault))
            if begun:
                raise ConnectionAbortedError from None  # half an answer must not look whole
            known = fault if isinstance(fault, CloisterError) else Corrupt("Something went wrong inside.", hint="See the log.")
            await refuse(ask, known, send)

    def _check(self, ask: Ask) -> None:
        if ask.sid != self._runtime.session.encode():
            raise Denied("This ticket is for another session.", hint="Sign in again.", reason="other-session")
        if not self._runtime.takes(ask.epoch):
            raise Denied("You continued this session elsewhere.", hint="Sign in again.", reason="epoch")
        if ask.token.narrow and not ask.path.startswith(FHIR):
            raise Denied("This token opens the FHIR address only.", hint="Use /fhir/R4.", reason="token-path")
        if ask.from_elsewhere and not ask.token.grant:  # an app's page comes from elsewhere, and proves itself by its token
            raise Denied("Another site sent this request.", reason="cross-site")

    # --- /session/* ---------------------------------------------------------------------------------

    async def _own(self, ask: Ask, receive: Receive, send: Send) -> None:
        match ask.method, ask.path:
            case ("GET", "/session/state"):
                await reply_json(send, 200, self._facts())
            case ("GET", "/session/key"):
                await reply_json(send, 200, {"session": self._runtime.session, "public_key": _base64(self._runtime.public_key)})
            case ("POST", "/session/unlock"):
                message = await read_json(receive)
                await self._runtime.unlock(_text(message, "unlocker"), _bytes(message, "sealed"))
                await reply_json(send, 200, self._facts())
            case ("POST", "/session/lock"):
                self._runtime.lock()
                await self._done(ask, send, [])
            case ("POST", "/session/end"):
                await self._done(ask, send, [(b"set-cookie", f"{COOKIE}=; Max-Age=0; {COOKIE_RULES}".encode())])
                self._runtime.end("signed-out")
            case _:
                await reply_json(send, 404, {"category": "not-found", "text": "The session has no such page."})

    def _facts(self) -> dict[str, Any]:
        runtime, unlocked = self._runtime, self._runtime.state is SessionState.ACTIVE
        return {
            "session": runtime.session,
            "person": runtime.assignment.person,
            "state": str(runtime.state),
            "epoch": runtime.epoch,
            "lock_after_seconds": runtime.assignment.idle_lock_seconds,
            "zones": sum(1 for zone in runtime.keyring.zones if zone.rights) if unlocked else 0,
            "refused": [[what, str(why)] for what, why in runtime.keyring.refused] if unlocked else [],
        }

    async def _done(self, ask: Ask, send: Send, headers: Headers) -> None:
        if ask.page and not ask.htmx:
            await reply(send, 303, b"", [(b"location", PAGE_OF_SIGN_IN), *headers])
        else:
            to_sign_in: Headers = [(b"hx-redirect", PAGE_OF_SIGN_IN)] if ask.htmx else []
            await reply_json(send, 200, {"session": self._runtime.session, "next": "/login"}, [*to_sign_in, *headers])

    # --- the cookie's renewal --------------------------------------------------------------------------

    def _renewing(self, ask: Ask, send: Send) -> Send:
        """Adds a fresh ticket to the answer when the present one nears its end; programs fetch their own."""
        now = time.time()
        if self._runtime.assignment.kind != "person" or not ask.expires or ask.expires - now > RENEW_WHEN_SECONDS_LEFT:
            return send
        if self._renewal is None or now - self._renewed_at > FRESH_TICKET_SECONDS:
            self._renewal = asyncio.ensure_future(self._runtime.renewed_ticket())
            self._renewed_at = now
        renewal = self._renewal

        async def send_with_ticket(message: Message) -> None:
            if message["type"] == "http.response.start":
                done, _ = await asyncio.wait([renewal], timeout=RENEWAL_WAIT_SECONDS)
                ticket = renewal.result() if done else None
                if ticket is not None and self._runtime.state is SessionState.ACTIVE:
                    cookie = (b"set-cookie", f"{COOKIE}={ticket}; {COOKIE_RULES}".encode())
                    message["headers"] = [*message.get("headers", ()), cookie]
            await send(message)

        return send_with_ticket


# --- reading a request ----------------------------------------------------------------------------------


def read_ask(scope: Scope) -> Ask:
    sid = epoch = expires = accept = site = htmx = quiet = b""
    told: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"x-cloister-sid":
            sid = b"*" if sid else value  # twice is nobody's
        elif name == b"x-cloister-epoch":
            epoch = b"" if epoch else value
        elif name == b"x-cloister-exp":
            expires = value
        elif name in TOKEN_HEADERS:
            told[TOKEN_HEADERS[name]] = value.decode("latin-1")
        elif name == b"accept":
            accept = value
        elif name == b"sec-fetch-site":
            site = value
        elif name == b"hx-request":
            htmx = value
        elif name == b"x-quiet":
            quiet = value
    path, method = scope["path"], scope["method"]
    unsafe = method not in SAFE_METHODS
    return Ask(
        path=path,
        method=method,
        sid=sid,
        epoch=_number(epoch),
        expires=_number(expires),
        page=b"text/html" in accept and not path.startswith(FHIR),
        htmx=bool(htmx),
        from_elsewhere=unsafe and site not in (b"", b"same-origin", b"none"),
        token=Token(**told) if told else NO_TOKEN,
        quiet=bool(quiet),
    )


def _number(raw: bytes) -> int:
    """0 for anything but digits; Envoy may write a claim as 3 or as 3.0."""
    whole = raw.removesuffix(b".0").removesuffix(b".000000")
    return int(whole) if whole.isdigit() and len(whole) < 16 else 0


async def read_json(receive: Receive) -> dict[str, Any]:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Invalid("The request was cut short.", reason="body")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise Invalid("The request is too large.", reason="body")
        if not message.get("more_body"):
            break
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Invalid("The body is not a JSON object.", reason="body")
    return parsed


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise Invalid(f"'{name}' is missing.", reason="body")
    return value


def _bytes(message: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(message[name], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Invalid(f"'{name}' is not base64.", reason="body") from None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


# --- answering --------------------------------------------------------------------------------------------


def status_of(refused: CloisterError) -> int:
    if refused.reason == "other-session":
        return 421
    return 401 if refused.reason in ("epoch", "locked") else HTTP_STATUS[refused.category]


async def refuse(ask: Ask, refused: CloisterError, send: Send) -> None:
    """The refusal in the form the asker reads: the sign-in page, a FHIR OperationOutcome, or JSON."""
    status = status_of(refused)
    if status in (401, 421) and not ask.path.startswith("/session/"):
        if ask.htmx:
            await reply(send, 401, b"", [(b"hx-redirect", PAGE_OF_SIGN_IN)])
            return
        if ask.page and status == 401:
            await reply(send, 303, b"", [(b"location", PAGE_OF_SIGN_IN)])
            return
    if refused.reason == "revoked" and (ask.page or ask.htmx):
        await _told(ask, refused, send)
        return
    again: Headers = [(b"retry-after", refused.expression.encode())] if status == 429 and refused.expression.isdigit() else NO_HEADERS
    if ask.path.startswith(FHIR):
        issue = {"severity": "error", "code": "login" if status == 401 else ISSUE_CODE[refused.category], "diagnostics": refused.text}
        await reply_json(send, status, {"resourceType": "OperationOutcome", "issue": [issue]}, again, kind=b"application/fhir+json")
        return
    await reply_json(send, status, refused.as_wire(), again)


async def _told(ask: Ask, refused: CloisterError, send: Send) -> None:
    """Why nothing works any more, in a page that needs no keys and no other file."""
    if ask.htmx:
        await reply(send, 403, b"", [(b"hx-redirect", b"/")])
        return
    text, hint = escape(refused.text), escape(refused.hint or "")
    page = f'<!doctype html><meta charset="utf-8"><title>{text}</title><h1>{text}</h1><p>{hint}</p><p><a href="/login">Sign in</a></p>'
    await reply(send, 403, page.encode(), [(b"content-type", b"text/html; charset=utf-8")])


async def reply_json(send: Send, status: int, body: dict[str, Any], headers: Headers = NO_HEADERS, *, kind: bytes = JSON) -> None:
    await reply(send, status, json.dumps(body).encode(), [(b"content-type", kind), *headers])


async def reply(send: Send, status: int, body: bytes, headers: Headers) -> None:
    fixed: Headers = [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
