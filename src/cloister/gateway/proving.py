"""How a client proves itself to the token endpoint and its neighbours: a secret, or an assertion. RFC 6749 2.3, RFC 7523, RFC 7521.

A secret comes through here, and opens the program's keys: the door derives the unlock key, and forgets it. An assertion opens
nothing; whoever uses one gives the unlock key sealed to the session, and the door cannot read it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import Request

from cloister.base.errors import Denied, Invalid
from cloister.base.secret import Secret
from cloister.gateway import assertions, clients
from cloister.gateway.clients import Client
from cloister.gateway.ports import Door, note
from cloister.gateway.requests import address_of, body_of
from cloister.identity import Authenticator, Kind, Known, Person, programs, sign_in, store

TOKEN_PATH: Final = "/oauth2/token"
BASIC: Final = {"www-authenticate": 'Basic realm="cloister"'}

Form = dict[str, list[str]]


class TokenError(Exception):
    """An error of RFC 6749 5.2."""

    def __init__(self, error: str, description: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenClient:
    """A program that has proved itself; `kek` only where it sent its secret."""

    client: Client
    person: Person
    authenticator: Authenticator
    kek: Secret | None = field(default=None, repr=False)


async def form_of(request: Request) -> Form:
    if request.headers.get("content-type", "").split(";", 1)[0].strip().lower() != "application/x-www-form-urlencoded":
        raise TokenError("invalid_request", "Send application/x-www-form-urlencoded.")
    try:
        form = parse_qs((await body_of(request)).decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=30)
    except ValueError:
        raise TokenError("invalid_request", "The form cannot be read.") from None
    return checked_form(form)


def checked_form(form: Form) -> Form:
    """RFC 6749 appendix A: no parameter of its holds control characters, and neither does a row of a database."""
    wrong = next((name for name, values in form.items() for value in values if "\x00" in name + value), None)
    if wrong is not None:
        raise TokenError("invalid_request", "A parameter holds characters that it may not.")
    return form


def one(form: Form, name: str) -> str | None:
    """RFC 6749 3.2: no parameter more than once; one without a value is as if it were absent."""
    values = form.get(name, [])
    if len(values) > 1:
        raise TokenError("invalid_request", f"'{name}' is given twice.")
    return values[0] if values and values[0] else None


def credentials(authorization: str | None, form: Form) -> tuple[str, str]:
    """client_secret_basic or client_secret_post, not both (RFC 6749 2.3.1)."""
    posted_id, posted_secret = one(form, "client_id"), one(form, "client_secret")
    if authorization is None:
        if posted_id is None or posted_secret is None:
            raise TokenError("invalid_client", "Send client_id and client_secret, or a client_assertion.", 401)
        return posted_id, posted_secret
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise TokenError("invalid_client", "Use HTTP Basic or the form.", 401, BASIC)
    if posted_secret is not None:
        raise TokenError("invalid_request", "Send the client's secret once: in the header or in the form.")
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        name, colon, secret = "", "", ""
    if not colon or not name or (posted_id is not None and posted_id != unquote_plus(name)):
        raise TokenError("invalid_client", "This is not a client id and secret.", 401, BASIC)
    return unquote_plus(name), unquote_plus(secret)


async def proven_client(door: Door, request: Request, form: Form) -> ProvenClient:
    """The program behind a request; TokenError or the one refusal otherwise, which is audited."""
    door.limits.begin(address_of(request))
    kind, text = one(form, "client_assertion_type"), one(form, "client_assertion")
    if kind is None and text is None:
        return await _by_secret(door, request, form)
    if kind != assertions.TYPE or text is None:
        raise TokenError("invalid_request", f"Send client_assertion, and client_assertion_type={assertions.TYPE}.")
    if request.headers.get("authorization") is not None or one(form, "client_secret") is not None:
        raise TokenError("invalid_request", "Prove the client once: by its secret, or by an assertion.")
    return await _by_assertion(door, request, form, text)


async def _by_secret(door: Door, request: Request, form: Form) -> ProvenClient:
    # No delay after failures: 32 random bytes cannot be guessed, and a stranger must not be able to stop a laboratory's interface.
    client_id, client_secret = credentials(request.headers.get("authorization"), form)
    known = await store.known(door.people, client_id)
    try:
        proven = programs.prove_program(known, client_secret, door.secret)
        client = await clients.program(door.people, known.sign_in)
        if not client.secret_taken:
            raise sign_in.refusal()
        await store.mark_used(door.people, proven.authenticator, now=door.clock())
    except Denied as refused:
        await _failed(door, request, known, refused.reason)
        raise
    assert known.person is not None  # a proof has a person
    return ProvenClient(client=client, person=known.person, authenticator=proven.authenticator, kek=proven.kek)


async def _by_assertion(door: Door, request: Request, form: Form, text: str) -> ProvenClient:
    try:
        assertion = assertions.read_assertion(text)
    except Invalid as wrong:
        raise TokenError("invalid_client", wrong.text, 401) from None
    if one(form, "client_id") not in (None, assertion.client):
        raise TokenError("invalid_request", "'client_id' is not who the assertion speaks of.")
    known = await store.known(door.people, assertion.client)
    client = await clients.program(door.people, known.sign_in)
    audiences = [f"{door.base_url}{TOKEN_PATH}", f"{door.base_url}{request.url.path}"]
    found = [own for own in known.authenticators if own.kind == Kind.SERVICE and sign_in.may_sign_in(known, own)]
    now = door.clock()
    try:
        proved = assertions.proved_assertion(assertion, client.keys if found else (), audiences, now=now)
    except Invalid as wrong:
        await _failed(door, request, known, "assertion")
        raise TokenError("invalid_client", f"{wrong.text} {wrong.hint}".strip(), 401) from None
    if not await clients.take_assertion(door.people, proved.digest, proved.until, now=now):
        await _failed(door, request, known, "assertion-again")
        raise TokenError("invalid_client", "This assertion was used before. Make a new one, with another 'jti'.", 401)
    assert known.person is not None  # somebody's authenticator was found
    return ProvenClient(client=client, person=known.person, authenticator=max(found, key=lambda own: (str(own.created), own.id)))


def proves_app(app: Client, request: Request, form: Form) -> None:
    """A confidential app proves itself by its secret; a public one only says its name, and PKCE does the rest (RFC 7636)."""
    if app.secret_hash is None:
        return
    name, secret = credentials(request.headers.get("authorization"), form)
    if name != app.id or not hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), app.secret_hash):
        raise TokenError("invalid_client", "This app's secret is another.", 401, BASIC)


async def _failed(door: Door, request: Request, known: Known, reason: str) -> None:
    actor = known.person.id if known.person else ""
    await door.audit([note("sign-in", address_of(request), actor=actor, outcome="refused", reason=reason)])
