"""Apps of people: SMART App Launch 2 at the door. Authorization code with PKCE (RFC 6749 4.1, RFC 7636), refresh (RFC 6749 6).

An app acts with the keys of its person's live session and in no other way: the person allows it in a page of that session,
the session keeps what was allowed, and the door only carries the word. What waits for an answer is in the database, hashed and sealed
(kept.py), so that any controller can go on with it. Nothing here opens a record.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from cloister.access import Scopes, read_scopes
from cloister.base.errors import CloisterError, Invalid, NotFound
from cloister.farm import Bearer, Session
from cloister.gateway import clients
from cloister.gateway.bound_tokens import bound_by, proof_of
from cloister.gateway.clients import Client
from cloister.gateway.identity_tokens import claims_of
from cloister.gateway.ports import TICKET_SECONDS, Door, note
from cloister.gateway.proving import Form, TokenError, checked_form, form_of, one, proves_app
from cloister.gateway.requests import address_of, gateway_of, language_of, refusal_response
from cloister.identity import store

FHIR_PATH: Final = "/fhir/R4"
CONSENT_PATH: Final = "/smart/consent"
SECONDS_SPARED: Final = 10
ASKED_LIFE: Final = timedelta(minutes=10)
LAUNCH_LIFE: Final = timedelta(minutes=5)
CODE_LIFE: Final = timedelta(seconds=60)
REFRESH_LIFE: Final = timedelta(hours=24)  # and never longer than the session
TEXT_MAX: Final = 1000
WORDS: Final = frozenset({"launch", "launch/patient", "openid", "fhirUser", "profile", "offline_access", "online_access"})
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")

# Kinds of what waits in the database (kept.py).
ASKED, LAUNCH, CODE, REFRESH, USERINFO = "app-asked", "app-launch", "app-code", "app-refresh", "app-userinfo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """An app that a person starts from a chart."""

    client: str
    session: str
    patient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an app asks a person for."""

    client: str
    redirect: str
    scopes: str
    state: str
    challenge: str
    nonce: str
    launch: dict[str, str] | None
    jkt: str = ""  # the key that alone may fetch the token, said in advance (RFC 9449 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a person allowed an app, until the session ends. `grant` is the session's own name for it; none: the app only learns who."""

    client: str
    session: str
    person: str
    scopes: str
    patient: str
    grant: str
    redirect: str = ""
    challenge: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)
    jkt: str = ""  # the key that its tokens are bound to


class Apps:
    def __init__(self, door: Door) -> None:
        self._door = door
        self._kept = door.kept
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
        form = await form_of(request) if request.method == "POST" else _query(request)
        asked = {name: values[0] for name, values in form.items()}
        app = await clients.app(door.people, asked.get("client_id", ""))
        redirect = asked.get("redirect_uri", "")
        if app is None or redirect not in app.redirects:
            return self._stranger(request)
        try:
            for name in form:
                one(form, name)  # RFC 6749 3.1: none more than once
            found = await self._read(app, redirect, asked)
        except TokenError as wrong:
            return _back(
                redirect, {"error": wrong.error, "error_description": wrong.description, "state": asked.get("state", "")[:TEXT_MAX]}
            )
        name = await self._kept.keep(ASKED, asdict(found), ASKED_LIFE)
        # The session's cookie is SameSite=Strict: it comes along only when a page of ours goes on, not when an app's does.
        page = door.render("onward.html", language=language_of(request), to=f"{CONSENT_PATH}?request={name}")
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    def _stranger(self, request: Request) -> Response:
        page = self._door.render("app-unknown.html", language=language_of(request))
        return HTMLResponse(page, status_code=400, headers={"cache-control": "no-store"})

    async def _read(self, app: Client, redirect: str, asked: Mapping[str, str]) -> Asked:
        if asked.get("response_type") != "code":
            raise TokenError("unsupported_response_type", "Only 'code' is offered.")
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
        # OpenID Connect Core 3.1.2.1: whoever asks only who somebody is asks for no resource, and names no FHIR address.
        if not granted.resources and "openid" not in granted.words:
            raise TokenError("invalid_scope", f"Of these scopes none is open to this app. It may have: {most}.")
        if granted.resources and asked.get("aud", "").rstrip("/") != f"{self._door.base_url}{FHIR_PATH}":
            raise TokenError("invalid_request", f"'aud' must be {self._door.base_url}{FHIR_PATH}.")
        jkt = asked.get("dpop_jkt", "")
        if jkt and not _CHALLENGE.fullmatch(jkt):
            raise TokenError("invalid_request", "'dpop_jkt' is no thumbprint of a key (RFC 7638).")
        launch = await self._kept.take(LAUNCH, asked["launch"]) if asked.get("launch") else None
        if ("launch" in granted.words and launch is None) or (launch is not None and launch["client"] != app.id):
            raise TokenError("invalid_request", "This launch is over. Start the app from the chart again.")
        return Asked(
            client=app.id, redirect=redirect, scopes=str(granted), state=state, challenge=asked["code_challenge"],
            nonce=asked.get("nonce", ""), launch=launch, jkt=jkt,
        )  # fmt: skip

    # --- the person's session answers; which session, the kernel said -----------------------------------------

    async def asked(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """What an app asks this person for."""
        found, app = await self._seen(session, words)
        return {
            "client": app.id,
            "name": app.name,
            "site": found.redirect.split("?")[0],
            "origins": sorted(app.origins),
            "scopes": found.scopes,
            "patient": found.launch["patient"] if found.launch else "",
            "launched": found.launch is not None,
        }

    async def allowed(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """The person's answer: where the browser goes now. Without a grant the app is refused."""
        found, app = await self._seen(session, words)
        if await self._kept.take(ASKED, str(words["request"])) is None:
            raise _over()
        grant = str(words.get("grant", ""))[:64]
        said = "allow-app" if grant else "refuse-app"
        await self._door.audit([note(said, "session", actor=session.person, session=session.id, reason=f"{app.id} {found.scopes}"[:200])])
        if not grant:
            return {"to": _address(found.redirect, {"error": "access_denied", "state": found.state, "iss": self._door.base_url})}
        allowed = Allowed(
            client=app.id, session=session.id, person=session.person, scopes=found.scopes, patient=str(words.get("patient", ""))[:64],
            grant=grant, redirect=found.redirect, challenge=found.challenge, nonce=found.nonce, jkt=found.jkt,
        )  # fmt: skip
        code = await self._kept.keep(CODE, asdict(allowed), CODE_LIFE)
        # RFC 9207: whose answer this is, for an app that knows several providers.
        return {"to": _address(found.redirect, {"code": code, "state": found.state, "iss": self._door.base_url})}

    async def _seen(self, session: Session, words: Mapping[str, Any]) -> tuple[Asked, Client]:
        body = await self._kept.see(ASKED, str(words.get("request", "")))
        found = Asked(**body) if body is not None else None
        app = await clients.app(self._door.people, found.client) if found is not None else None
        if found is None or app is None or (found.launch is not None and found.launch["session"] != session.id):
            raise _over()
        return found, app

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
        name = await self._kept.keep(LAUNCH, asdict(launch), LAUNCH_LIFE)
        return {"to": _address(app.launch, {"iss": f"{self._door.base_url}{FHIR_PATH}", "launch": name})}

    # --- the app asks for tokens ---------------------------------------------------------------------------------

    async def by_code(self, request: Request, form: Form) -> dict[str, Any]:
        """grant_type=authorization_code."""
        self._door.limits.begin(address_of(request))
        body = await self._kept.take(CODE, one(form, "code") or "")
        found = Allowed(**body) if body is not None else None
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
        body = await self._kept.take(REFRESH, one(form, "refresh_token") or "")
        found = Allowed(**body) if body is not None else None
        if found is None:
            raise TokenError("invalid_grant", "This refresh token is unknown, used or too old. Start the app again.")
        return await self._tokens(request, form, found, new=False)

    async def _tokens(self, request: Request, form: Form, found: Allowed, *, new: bool) -> dict[str, Any]:
        app = await clients.app(self._door.people, found.client)  # as it is registered now
        if app is None or one(form, "client_id") not in (None, app.id):
            raise TokenError("invalid_grant", "This was given to another app.")
        # RFC 6749 4.1.3; a refresh (6) names nobody: the token is bound to its app, and fhirclient sends it alone.
        if new and app.secret_hash is None and one(form, "client_id") is None:
            raise TokenError("invalid_request", "'client_id' is missing.")
        proves_app(app, request, form)
        # RFC 9449 5: a refresh token of an app with a secret is bound by that; it may come with another key, and not without one.
        kept = found.jkt if new or app.secret_hash is None else ""
        proof = proof_of(request, now=self._door.clock())
        found = replace(found, jkt=await bound_by(self._door, proof, must=app.bound or bool(found.jkt), jkt=kept))
        scopes = read_scopes(found.scopes)
        answer: dict[str, Any] = {
            "access_token": await self._access(app, found, scopes, gateway_of(request)),
            "token_type": "DPoP" if found.jkt else "Bearer",
            "expires_in": TICKET_SECONDS - SECONDS_SPARED,
            "scope": found.scopes,
        }
        if found.patient:
            answer |= {"patient": found.patient, "need_patient_banner": True}
        if new and "openid" in scopes.words:
            person = await store.person(self._door.people, found.person)
            answer["id_token"] = self._door.identity_key.token(
                person, issuer=self._door.base_url, client=app.id, nonce=found.nonce, words=scopes.words, now=self._door.clock()
            )
        if {"offline_access", "online_access"} & set(scopes.words):
            answer["refresh_token"] = await self._kept.keep(REFRESH, asdict(found), REFRESH_LIFE)
        return answer

    async def _access(self, app: Client, found: Allowed, scopes: Scopes, gateway: str) -> str:
        """A ticket to the session within what was allowed; for an app that only learns who, a name that opens /oauth2/userinfo."""
        broker = self._door.broker
        try:
            if not scopes.resources:
                await broker.ticket_for(found.session, Bearer(client=app.id, scope="openid"))  # refused once the session ended
                return await self._kept.keep(
                    USERINFO, {"person": found.person, "words": list(scopes.words), "jkt": found.jkt}, timedelta(seconds=TICKET_SECONDS)
                )
            bearer = Bearer(client=app.id, scope=str(Scopes(scopes.resources)), grant=found.grant, pace=app.pace, jkt=found.jkt)
            return await broker.ticket_for(found.session, bearer, gateway=gateway)
        except CloisterError as ended:
            raise TokenError("invalid_grant", f"The person's session has ended. {ended.hint}".strip()) from None

    async def userinfo(self, request: Request) -> Response:
        """GET or POST /oauth2/userinfo (OpenID Connect Core 5.3), with the access token of an app that only learns who."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        body = await self._kept.see(USERINFO, token) if scheme.lower() in ("bearer", "dpop") and token else None
        if body is None or not await self._proves(request, body.get("jkt", ""), token if scheme.lower() == "dpop" else ""):
            challenge = {"www-authenticate": 'Bearer error="invalid_token"', "cache-control": "no-store"}
            return JSONResponse({"error": "invalid_token"}, status_code=401, headers=challenge)
        person = await store.person(self._door.people, str(body["person"]))
        return JSONResponse(claims_of(person, self._door.base_url, tuple(body["words"])), headers={"cache-control": "no-store"})

    async def _proves(self, request: Request, jkt: str, token: str) -> bool:
        """Whether an opaque token comes as it was given: with a proof of its key (RFC 9449 7.1), or without any where it has none."""
        if not jkt or not token:
            return not jkt and not token
        try:
            return bool(await bound_by(self._door, proof_of(request, now=self._door.clock(), token=token), must=True, jkt=jkt))
        except TokenError:
            return False


def _query(request: Request) -> Form:
    names = list(dict.fromkeys(request.query_params))
    return checked_form({name: request.query_params.getlist(name) for name in names})


def _over() -> NotFound:
    return NotFound("This request of an app is over.", hint="Start the app again.", reason="app-request-over")


def _challenge(verifier: str) -> str:
    """RFC 7636 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def _address(base: str, parameters: Mapping[str, str]) -> str:
    return f"{base}{'&' if '?' in base else '?'}{urlencode(parameters)}"


def _back(redirect: str, parameters: Mapping[str, str]) -> Response:
    return RedirectResponse(_address(redirect, parameters), status_code=303, headers={"cache-control": "no-store"})
