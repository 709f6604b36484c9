"""Apps of people: SMART App Launch 2 at the door. Authorization code with PKCE (RFC 6749 4.1, RFC 7636), refresh (RFC 6749 6).

An app acts with the keys of its person's live session and in no other way: the person allows it in a page of that session,
the session keeps what was allowed, and the door only carries the word. What waits for an answer is in this process's memory,
bounded and short: after a restart the app begins again. Nothing here opens a record.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloister.access import Scopes, read_scopes
from cloister.base.errors import CloisterError, Invalid, NotFound
from cloister.farm import Bearer, Session
from cloister.gateway import clients
from cloister.gateway.clients import Client
from cloister.gateway.ports import TICKET_SECONDS, Door, note
from cloister.gateway.proving import Form, TokenError, form_of, one, proves_app
from cloister.gateway.requests import address_of, language_of, refusal_response

FHIR_PATH: Final = "/fhir/R4"
CONSENT_PATH: Final = "/smart/consent"
SECONDS_SPARED: Final = 10
WAITING_MAX: Final = 5_000
ASKED_LIFE: Final = timedelta(minutes=10)
LAUNCH_LIFE: Final = timedelta(minutes=5)
CODE_LIFE: Final = timedelta(seconds=60)
REFRESH_LIFE: Final = timedelta(hours=24)  # and never longer than the session
TEXT_MAX: Final = 1000
WORDS: Final = frozenset({"launch", "launch/patient", "openid", "fhirUser", "profile", "offline_access", "online_access"})
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")

T = TypeVar("T")


class Waiting(Generic[T]):
    """Things that are handed out under a random name and taken back once, or after a time not at all."""

    def __init__(self, life: timedelta) -> None:
        self._life = life
        self._kept: OrderedDict[bytes, tuple[datetime, T]] = OrderedDict()

    def keep(self, thing: T, *, now: datetime) -> str:
        name = secrets.token_urlsafe(32)
        self._kept[_digest(name)] = (now + self._life, thing)
        while len(self._kept) > WAITING_MAX:
            self._kept.popitem(last=False)
        return name

    def see(self, name: str, *, now: datetime) -> T | None:
        until, thing = self._kept.get(_digest(name), (now, None))
        return thing if until > now else None

    def take(self, name: str, *, now: datetime) -> T | None:
        """Once."""
        until, thing = self._kept.pop(_digest(name), (now, None))
        return thing if until > now else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """An app that a person starts from a chart."""

    client: str
    session: str
    patient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an app asks a person for."""

    client: Client
    redirect: str
    scopes: Scopes
    state: str
    challenge: str
    nonce: str
    launch: Launch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a person allowed an app, until the session ends. `grant` is the session's own name for it."""

    client: Client
    session: str
    person: str
    scopes: Scopes
    patient: str
    grant: str
    redirect: str = ""
    challenge: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)


class Apps:
    def __init__(self, door: Door) -> None:
        self._door = door
        self._asked: Waiting[Asked] = Waiting(ASKED_LIFE)
        self._launches: Waiting[Launch] = Waiting(LAUNCH_LIFE)
        self._codes: Waiting[Allowed] = Waiting(CODE_LIFE)
        self._refreshes: Waiting[Allowed] = Waiting(REFRESH_LIFE)
        door.broker.further |= {
            "app_asked": self.asked,
            "app_allowed": self.allowed,
            "app_list": self.listed,
            "app_launched": self.launched,
        }

    # --- the app's browser comes ----------------------------------------------------------------------------

    async def authorize(self, request: Request) -> Response:
        """GET or POST /oauth2/authorize. Until the address to come back to is known to be the app's, errors stay here."""
        try:
            return await self._authorize(request)
        except CloisterError as refused:
            return refusal_response(refused)

    async def _authorize(self, request: Request) -> Response:
        door = self._door
        door.limits.begin(address_of(request))
        asked = dict(request.query_params)
        if request.method == "POST":
            asked = {name: values[0] for name, values in (await form_of(request)).items()}
        app = await clients.app(door.people, asked.get("client_id", ""))
        redirect = asked.get("redirect_uri", "")
        if app is None or redirect not in app.redirects:
            return self._stranger(request)
        try:
            found = self._read(app, redirect, asked)
        except TokenError as wrong:
            return _back(
                redirect, {"error": wrong.error, "error_description": wrong.description, "state": asked.get("state", "")[:TEXT_MAX]}
            )
        name = self._asked.keep(found, now=door.clock())
        # The session's cookie is SameSite=Strict: it comes along only when a page of ours goes on, not when an app's does.
        page = door.render("onward.html", language=language_of(request), to=f"{CONSENT_PATH}?request={name}")
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    def _stranger(self, request: Request) -> Response:
        page = self._door.render("app-unknown.html", language=language_of(request))
        return HTMLResponse(page, status_code=400, headers={"cache-control": "no-store"})

    def _read(self, app: Client, redirect: str, asked: Mapping[str, str]) -> Asked:
        if asked.get("response_type") != "code":
            raise TokenError("unsupported_response_type", "Only 'code' is offered.")
        if asked.get("aud", "").rstrip("/") != f"{self._door.base_url}{FHIR_PATH}":
            raise TokenError("invalid_request", f"'aud' must be {self._door.base_url}{FHIR_PATH}.")
        if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            raise TokenError("invalid_request", "Use PKCE: code_challenge, with code_challenge_method=S256.")
        state = asked.get("state", "")
        if not 0 < len(state) <= TEXT_MAX or len(asked.get("nonce", "")) > TEXT_MAX:
            raise TokenError("invalid_request", "'state' is missing or too long.")
        try:
            scopes = read_scopes(asked.get("scope", ""))
        except Invalid as wrong:
            raise TokenError("invalid_scope", wrong.text) from None
        most = read_scopes(app.scopes)
        granted = Scopes(scopes.of_level("patient", "user").within(most).resources, tuple(w for w in scopes.words if w in WORDS))
        if not granted.resources:
            raise TokenError("invalid_scope", f"Of these scopes none is open to this app. It may have: {most}.")
        launch = self._launches.take(asked["launch"], now=self._door.clock()) if asked.get("launch") else None
        if ("launch" in granted.words and launch is None) or (launch is not None and launch.client != app.id):
            raise TokenError("invalid_request", "This launch is over. Start the app from the chart again.")
        return Asked(
            client=app, redirect=redirect, scopes=granted, state=state, challenge=asked["code_challenge"], nonce=asked.get("nonce", ""),
            launch=launch,
        )  # fmt: skip

    # --- the person's session answers; which session, the kernel said -----------------------------------------

    async def asked(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """What an app asks this person for."""
        found = self._seen(session, words)
        return {
            "client": found.client.id,
            "name": found.client.name,
            "site": found.redirect.split("?")[0],
            "origins": sorted(found.client.origins),
            "scopes": str(found.scopes),
            "patient": found.launch.patient if found.launch else "",
            "launched": found.launch is not None,
        }

    async def allowed(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """The person's answer: where the browser goes now. Without a grant the app is refused."""
        found, now = self._seen(session, words), self._door.clock()
        self._asked.take(str(words["request"]), now=now)
        grant = str(words.get("grant", ""))[:64]
        said = "allow-app" if grant else "refuse-app"
        await self._door.audit(
            [note(said, "session", actor=session.person, session=session.id, reason=f"{found.client.id} {found.scopes}"[:200])]
        )
        if not grant:
            return {"to": _address(found.redirect, {"error": "access_denied", "state": found.state})}
        allowed = Allowed(
            client=found.client, session=session.id, person=session.person, scopes=found.scopes, patient=str(words.get("patient", ""))[:64],
            grant=grant, redirect=found.redirect, challenge=found.challenge, nonce=found.nonce,
        )  # fmt: skip
        code = self._codes.keep(allowed, now=now)
        return {"to": _address(found.redirect, {"code": code, "state": found.state})}

    def _seen(self, session: Session, words: Mapping[str, Any]) -> Asked:
        found = self._asked.see(str(words.get("request", "")), now=self._door.clock())
        if found is None or (found.launch is not None and found.launch.session != session.id):
            raise NotFound("This request of an app is over.", hint="Start the app again.", reason="app-request-over")
        return found

    async def listed(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """The apps that can be launched from a chart."""
        found = await clients.apps(self._door.people)
        return {"apps": [{"client": app.id, "name": app.name} for app in found if app.launch]}

    async def launched(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """Where to go to start an app for a patient."""
        app = await clients.app(self._door.people, str(words["client"]))
        if app is None or not app.launch:
            raise NotFound("There is no such app.", reason="app-unknown")
        launch = Launch(client=app.id, session=session.id, patient=str(words["patient"])[:64])
        name = self._launches.keep(launch, now=self._door.clock())
        return {"to": _address(app.launch, {"iss": f"{self._door.base_url}{FHIR_PATH}", "launch": name})}

    # --- the app asks for tokens ---------------------------------------------------------------------------------

    async def by_code(self, request: Request, form: Form) -> dict[str, Any]:
        """grant_type=authorization_code."""
        self._door.limits.begin(address_of(request))
        found = self._codes.take(one(form, "code") or "", now=self._door.clock())
        if found is None:
            raise TokenError("invalid_grant", "This code is unknown, used or too old.")
        if one(form, "redirect_uri") != found.redirect:
            raise TokenError("invalid_grant", "'redirect_uri' is another than before.")
        verifier = one(form, "code_verifier") or ""
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_challenge(verifier), found.challenge):
            raise TokenError("invalid_grant", "The code_verifier does not fit.")
        return await self._tokens(request, form, found, new=True)

    async def by_refresh(self, request: Request, form: Form) -> dict[str, Any]:
        """grant_type=refresh_token: each is used once, and the answer brings the next."""
        self._door.limits.begin(address_of(request))
        found = self._refreshes.take(one(form, "refresh_token") or "", now=self._door.clock())
        if found is None:
            raise TokenError("invalid_grant", "This refresh token is unknown, used or too old. Start the app again.")
        return await self._tokens(request, form, found, new=False)

    async def _tokens(self, request: Request, form: Form, found: Allowed, *, new: bool) -> dict[str, Any]:
        app = await clients.app(self._door.people, found.client.id)  # as it is registered now
        if app is None or one(form, "client_id") not in (None, app.id):
            raise TokenError("invalid_grant", "This was given to another app.")
        # RFC 6749 4.1.3; a refresh (6) names nobody: the token is bound to its app, and fhirclient sends it alone.
        if new and app.secret_hash is None and one(form, "client_id") is None:
            raise TokenError("invalid_request", "'client_id' is missing.")
        proves_app(app, request, form)
        bearer = Bearer(client=app.id, scope=str(Scopes(found.scopes.resources)), grant=found.grant, pace=app.pace)
        try:
            ticket = await self._door.broker.ticket_for(found.session, bearer)
        except CloisterError as ended:
            raise TokenError("invalid_grant", f"The person's session has ended. {ended.hint}".strip()) from None
        now = self._door.clock()
        answer: dict[str, Any] = {
            "access_token": ticket,
            "token_type": "Bearer",
            "expires_in": TICKET_SECONDS - SECONDS_SPARED,
            "scope": str(found.scopes),
        }
        if found.patient:
            answer |= {"patient": found.patient, "need_patient_banner": True}
        if new and "openid" in found.scopes.words:
            answer["id_token"] = self._identity(found, now)
        if {"offline_access", "online_access"} & set(found.scopes.words):
            answer["refresh_token"] = self._refreshes.keep(found, now=now)
        return answer

    def _identity(self, found: Allowed, now: datetime) -> str:
        """OpenID Connect Core 2: who the person is; under the tickets' key (EdDSA), whose JWKS is public."""
        moment = int(now.timestamp())
        claims = {"iss": self._door.base_url, "sub": found.person, "aud": found.client.id, "iat": moment, "exp": moment + TICKET_SECONDS}
        if "fhirUser" in found.scopes.words or "profile" in found.scopes.words:
            claims["fhirUser"] = f"{self._door.base_url}{FHIR_PATH}/Practitioner/{found.person}"
        if found.nonce:
            claims["nonce"] = found.nonce
        return self._door.tickets.signed(claims)


def _challenge(verifier: str) -> str:
    """RFC 7636 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def _digest(name: str) -> bytes:
    """Looked up by its hash, so that the time of a look-up tells nothing of the name."""
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _address(base: str, parameters: Mapping[str, str]) -> str:
    return f"{base}{'&' if '?' in base else '?'}{urlencode(parameters)}"


def _back(redirect: str, parameters: Mapping[str, str]) -> Response:
    return RedirectResponse(_address(redirect, parameters), status_code=303, headers={"cache-control": "no-store"})
