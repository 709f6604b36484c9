"""The ASGI shell in front of the application: every request is checked here before a page or FHIR call sees it.

Envoy hands on the verified ticket's claims in x-cloister-ticket and strips what a client sends. Another
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
from html import escape
from typing import Any, Final

from cloister.base.errors import HTTP_STATUS, ISSUE_CODE, Busy, CloisterError, Corrupt, Denied, Invalid
from cloister.base.telemetry import log
from cloister.base.wire import where_of
from cloister.farm import SessionState
from cloister.server.asks import FHIR, PASS, Ask, Scope, read_ask
from cloister.server.binding import UNPROVEN
from cloister.server.limits import WARNING_SECONDS
from cloister.server.open_pages import written
from cloister.server.pace import Shared
from cloister.server.passes import PASS_SECONDS
from cloister.server.runtime import SessionRuntime
from cloister.server.shut_out import TOLD

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
PATH_CHARACTERS_MAX: Final = 2000
SIGN_IN_AGAIN: Final = frozenset({"epoch", "locked", "unbound", "card-binding"})
PAGE_OF_SIGN_IN: Final = b"/login"
PAGE_OF_PROOF: Final = b"/login/prove#"  # where to go on stands in the fragment, which a browser never sends
JSON: Final = b"application/json"
LIVE_PAGE: Final = "/session/live"
PASS_RULES: Final = f"Max-Age={int(PASS_SECONDS)}; {COOKIE_RULES}"
NO_HEADERS: Final[Headers] = []
READABLE: Final[Headers] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"www-authenticate, retry-after, dpop-nonce"),
]


class Shell:
    def __init__(self, application: Asgi, runtime: SessionRuntime) -> None:
        self._application = application
        self._runtime = runtime
        self._renewal: asyncio.Task[str | None] | None = None
        self._renewed_at = 0.0
        self._pace = Shared(lambda: runtime.ask_controller("client_pace"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        ask = read_ask(scope)
        try:
            self._check(ask)
            send = self._proven(ask, send)
            if ask.path.startswith("/session/"):
                await self._own(ask, receive, self._renewing(ask, send) if ask.path == LIVE_PAGE else send)
                return
            self._runtime.actor  # noqa: B018 - raises Denied(locked)
        except CloisterError as refused:
            await refuse(ask, refused, send)
            return
        state = scope.setdefault("state", {})
        state["runtime"], state["token"] = self._runtime, ask.token
        try:
            await self._pace.enter(ask.token.pace, shared=not ask.token.grant, now=time.monotonic())
        except Busy as refused:
            self._runtime.used.refused += 1
            self._runtime.tell_used()
            await refuse(ask, refused, send)
            return
        try:
            with contextlib.nullcontext() if ask.quiet else self._runtime.in_use():
                await self._serve(ask, scope, receive, self._renewing(ask, send))
        finally:
            self._pace.leave()

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket of one of our own pages, by the same ticket: its origin is ours (RFC 6455 10.2), and a proven request has asked for
        its pass. Refused before it is accepted; what keeps it open is the session's own word."""
        ask = read_ask({**scope, "method": "GET"})
        try:
            self._check(ask)
            if dict(scope["headers"]).get(b"origin", b"").decode("latin-1") not in self._runtime.origins:
                raise Denied("Another site opened this.", reason="cross-site")
            scope["pass"] = self._runtime.passes.take(list(scope.get("subprotocols", ())), ask.path, now=time.monotonic())
            self._runtime.actor  # noqa: B018 - raises Denied(locked)
            state = scope.setdefault("state", {})
            state["runtime"], state["token"] = self._runtime, ask.token
            await self._application(scope, receive, send)
        except CloisterError as refused:
            log("session.socket_refused", level="warning", reason=refused.reason)
            await send({"type": "websocket.close", "code": 4403, "reason": ""})
        except Exception as fault:  # the process's edge, as for a request
            log("session.socket_fault", level="error", kind=type(fault).__name__, where=where_of(fault))

    async def _serve(self, ask: Ask, scope: Scope, receive: Receive, send: Send) -> None:
        begun = whole = False

        async def watched(message: Message) -> None:
            nonlocal begun, whole
            if not begun and ask.page and not ask.htmx and ask.method == "GET" and message.get("status") == 200:
                query = scope.get("query_string", b"").decode("latin-1")
                self._runtime.shown(f"{ask.path}?{query}" if query else ask.path)
            begun = True
            await send(message)
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._application(scope, receive, watched)
        except Exception as fault:  # the process's edge: the fault is ours; its text, which may quote a record, stays here
            log("session.request_fault", level="error", kind=type(fault).__name__, where=where_of(fault))
            if whole:
                return  # the application has answered the fault itself; the connection serves the next request
            if begun:
                raise ConnectionAbortedError from None  # half an answer must not look whole
            known = fault if isinstance(fault, CloisterError) else Corrupt("Something went wrong inside.", hint="See the log.")
            await refuse(ask, known, send)

    def _check(self, ask: Ask) -> None:
        if ask.sid != self._runtime.session:
            raise Denied("This ticket is for another session.", hint="Sign in again.", reason="other-session")
        if ask.token.person != self._runtime.assignment.person:
            raise Denied("This ticket is for another person.", hint="Sign in again.", reason="other-session")
        if not self._runtime.takes(ask.epoch):
            raise Denied("You continued this session elsewhere.", hint="Sign in again.", reason="epoch")
        if ask.card != ask.token.x5t:  # RFC 8705 3: of no use without the card, nor at the other name
            raise Denied("This ticket belongs to a card.", hint="Insert the card, and sign in again.", reason="card-binding")
        if ask.token.narrow and not ask.path.startswith(FHIR):
            raise Denied("This token opens the FHIR address only.", hint="Use /fhir/R4.", reason="token-path")
        if ask.from_elsewhere and not ask.token.grant:  # an app's page comes from elsewhere, and proves itself by its token
            raise Denied("Another site sent this request.", reason="cross-site")

    def _proven(self, ask: Ask, send: Send) -> Send:
        """Once the request is proven by the key that the ticket names: how to answer it, with the nonce for the next proof."""
        binding, token = self._runtime.binding, ask.token
        if not token.jkt:
            if self._runtime.assignment.kind == "person" and not token.grant:
                raise Denied("This ticket names no key.", hint="Sign in again.", reason="unbound")
            return send
        own = not token.client  # a browser's; a program's workers may each hold a key of their own
        if own and self._passed(ask):
            return send
        nonce = binding.check(
            ask.proof, method=ask.method, address=ask.address, jkt=token.jkt, x5t=token.x5t, pinned=own, now=time.monotonic(),
            token=None if own else ask.bound_token,
        )  # fmt: skip

        async def with_nonce(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"dpop-nonce", nonce.encode())]
            await send(message)

        return with_nonce

    def _passed(self, ask: Ask) -> bool:
        """Whether a page comes with a pass for just this, which a request proven by this key has fetched (frontend/src/unaided.js)."""
        if not ask.word or ask.proof or not ask.page or ask.htmx or self._runtime.binding.jkt != ask.token.jkt:
            return False
        try:
            self._runtime.passes.take([ask.word], _step(ask.method, ask.plain, ask.token.jkt), now=time.monotonic())
        except Denied:
            return False  # an older one: asked for a proof, as if it had not come
        return True

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
            case ("GET", "/session/live"):
                await self._runtime.pages.stream(self._first_words(), receive, send)
            case ("POST", "/session/pass"):
                message = await read_json(receive)
                step = _step(_text(message, "method"), _text(message, "path", PATH_CHARACTERS_MAX), ask.token.jkt)
                word = self._runtime.passes.issue(step, now=time.monotonic())
                await reply(send, 204, b"", [(b"set-cookie", f"{PASS}={word}; {PASS_RULES}".encode())])
            case ("POST", "/session/saved"):
                self._runtime.pages.saved()
                await reply_json(send, 200, {})
            case ("POST", "/session/seen"):
                await self._runtime.seen(_text(await read_json(receive), "id"))
                await reply_json(send, 200, {})
            case ("POST", "/session/lock"):
                self._runtime.lock()
                await self._done(ask, send, [])
            case ("POST", "/session/end"):
                await self._done(ask, send, [(b"set-cookie", f"{COOKIE}=; Max-Age=0; {COOKIE_RULES}".encode())])
                self._runtime.end("signed-out")
            case _:
                await reply_json(send, 404, {"category": "not-found", "text": "The session has no such page."})

    def _first_words(self) -> list[bytes]:
        """What a page must know as soon as it is open: whether it may stay, what its person has not read, when all ends."""
        runtime = self._runtime
        if runtime.state is not SessionState.ACTIVE:
            return [written("lock", {"why": "locked"})]
        words = [written("message", notice.as_wire()) for notice in runtime.notices.all()]
        left = runtime.ends_in_seconds()
        if left is not None and left <= WARNING_SECONDS:
            words.append(written("ends", {"seconds": left}))
        return words

    def _facts(self) -> dict[str, Any]:
        runtime, unlocked = self._runtime, self._runtime.state is SessionState.ACTIVE
        return {
            "session": runtime.session,
            "person": runtime.assignment.person,
            "state": str(runtime.state),
            "epoch": runtime.epoch,
            "lock_after_seconds": runtime.assignment.idle_lock_seconds,
            "idle_seconds_left": runtime.idle_seconds_left() if unlocked else 0,
            "page": runtime.page if unlocked else "",
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


# --- reading a body ------------------------------------------------------------------------------------------


def _step(method: str, path: str, jkt: str) -> str:
    """What a pass is for: one request by a page, of whoever holds this key."""
    return f"{method} {path} {jkt}"


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


def _text(message: dict[str, Any], name: str, longest: int = 200) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
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
    return 401 if refused.reason in SIGN_IN_AGAIN or refused.reason in UNPROVEN else HTTP_STATUS[refused.category]


async def refuse(ask: Ask, refused: CloisterError, send: Send) -> None:
    """The refusal in the form the asker reads: the sign-in page, a FHIR OperationOutcome, or JSON."""
    status = status_of(refused)
    if refused.reason in UNPROVEN:
        await _ask_for_proof(ask, refused, send)
        return
    if status in (401, 421) and not ask.path.startswith("/session/"):
        if ask.htmx:
            await reply(send, 401, b"", [(b"hx-redirect", PAGE_OF_SIGN_IN)])
            return
        if ask.page and status == 401:
            await reply(send, 303, b"", [(b"location", PAGE_OF_SIGN_IN)])
            return
    if refused.reason in TOLD and (ask.page or ask.htmx):
        await _told(ask, refused, send)
        return
    again: Headers = [(b"retry-after", refused.expression.encode())] if status == 429 and refused.expression.isdigit() else NO_HEADERS
    if status in (401, 429):
        again = [*again, *_readable(ask)]
    if ask.path.startswith(FHIR):
        issue = {"severity": "error", "code": "login" if status == 401 else ISSUE_CODE[refused.category], "diagnostics": refused.text}
        await reply_json(send, status, {"resourceType": "OperationOutcome", "issue": [issue]}, again, kind=b"application/fhir+json")
        return
    await reply_json(send, status, refused.as_wire(), again)


def _readable(ask: Ask) -> Headers:
    """As the gateway says of its own (envoy/replies.py): an app's page may read why it was refused. No data, and no cookie admitted."""
    return list(READABLE) if ask.elsewhere and ask.path.startswith(FHIR) else []


async def _ask_for_proof(ask: Ask, refused: CloisterError, send: Send) -> None:
    """A page that came without a proof (a bookmark, a reload past the service worker) is sent where the browser makes one."""
    if ask.page and not ask.htmx and not ask.proof and ask.method == "GET":
        await reply(send, 303, b"", [(b"location", PAGE_OF_PROOF + ask.target)])
        return
    error = b"use_dpop_nonce" if refused.reason == "proof-nonce" else b"invalid_dpop_proof"
    more: Headers = [(b"www-authenticate", b'DPoP error="' + error + b'", algs="ES256"'), (b"dpop-nonce", refused.expression.encode())]
    if ask.htmx and not ask.proof:
        more.append((b"hx-redirect", PAGE_OF_SIGN_IN))
    if ask.path.startswith(FHIR):
        issue = {"severity": "error", "code": "login", "diagnostics": refused.text}
        more += _readable(ask)
        await reply_json(send, 401, {"resourceType": "OperationOutcome", "issue": [issue]}, more, kind=b"application/fhir+json")
        return
    await reply_json(send, 401, refused.as_wire(), more)


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
