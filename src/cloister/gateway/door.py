"""The door: where people and programs prove themselves and get a session. A Starlette application on a UNIX socket.

Sees a passphrase's verifier, never a passphrase; carries sealed keys, opens none. Reached through Envoy only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cloister.gateway.apps import WORDS, Apps
from cloister.gateway.enrol import Enrol
from cloister.gateway.files import file_response
from cloister.gateway.oauth import SCOPE, TokenEndpoint
from cloister.gateway.origins import Origins
from cloister.gateway.ports import Door, Published
from cloister.gateway.proving import TokenError
from cloister.gateway.requests import language_of
from cloister.gateway.sign_in import SignIn

# HL7 SMART App Launch 2, conformance: what is really there.
CAPABILITIES: Final = [
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-ehr-patient",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
]

Endpoint = Callable[[Request], Awaitable[Response]]

FHIR: Final = "/fhir/R4"
SMART: Final = "/.well-known/smart-configuration"


def door_application(door: Door) -> Starlette:
    sign_in, apps, enrol, origins = SignIn(door), Apps(door), Enrol(door), Origins(door)
    tokens = TokenEndpoint(door, {"authorization_code": apps.by_code, "refresh_token": apps.by_refresh})
    return Starlette(
        routes=[
            Route("/login", _login_page(door), methods=["GET"]),
            Route("/login/start", sign_in.start, methods=["POST"]),
            Route("/login/passphrase", sign_in.passphrase, methods=["POST"]),
            Route("/login/passkey", sign_in.passkey, methods=["POST"]),
            Route("/login/card", sign_in.card, methods=["POST"]),
            Route("/login/keys", _keys(door), methods=["GET"]),
            Route("/enrol", enrol.page, methods=["GET"]),
            Route("/enrol/start", enrol.start, methods=["POST"]),
            Route("/enrol/finish", enrol.finish, methods=["POST"]),
            Route("/oauth2/authorize", apps.authorize, methods=["GET", "POST"]),
            Route("/oauth2/token", origins.shared(tokens.token), methods=["POST"]),
            Route("/oauth2/unlock", tokens.unlock, methods=["POST"]),
            Route("/oauth2/introspect", tokens.introspect, methods=["POST"]),
            Route("/oauth2/revoke", tokens.revoke, methods=["POST"]),
            Route("/static/{name:path}", _static(door), methods=["GET"]),
            Route("/favicon.ico", _favicon(door), methods=["GET"]),
            *(Route(path, origins.shared(_published(choose)), methods=["GET"]) for path, choose in door.published.items()),
            Route(SMART, origins.shared(_smart_configuration(door)), methods=["GET"]),
            Route(f"{FHIR}{SMART}", origins.shared(_smart_configuration(door)), methods=["GET"]),
            Route(FHIR, origins.before, methods=["OPTIONS"]),
            Route(f"{FHIR}/{{rest:path}}", origins.before, methods=["OPTIONS"]),
        ],
        exception_handlers={HTTPException: _plain, TokenError: _wrong_form},
    )


async def _plain(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    return PlainTextResponse(f"{raised.detail}\n", status_code=raised.status_code, headers=raised.headers)


async def _wrong_form(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, TokenError)
    return PlainTextResponse(f"{raised.description}\n", status_code=raised.status)


def _login_page(door: Door) -> Endpoint:
    async def page(request: Request) -> Response:
        language = request.query_params.get("lang") or language_of(request)
        return HTMLResponse(door.render("login.html", language=language), headers={"cache-control": "no-store"})

    return page


def _keys(door: Door) -> Endpoint:
    """JWKS (RFC 7517) for Envoy, which fetches it by itself."""

    async def keys(request: Request) -> Response:
        return JSONResponse(door.tickets.jwks(), headers={"cache-control": "no-store"})

    return keys


def _static(door: Door) -> Endpoint:
    async def static(request: Request) -> Response:
        return file_response(door.files, request.path_params["name"], request)

    return static


def _favicon(door: Door) -> Endpoint:
    async def favicon(request: Request) -> Response:
        name = next((name for name in door.files if name.startswith("favicon.")), "favicon.ico")
        return file_response(door.files, name, request)

    return favicon


def _published(choose: Published) -> Endpoint:
    """FHIR R4 capabilities and what else stands beside them.

    Public, because a client asks before it can sign in (HL7 FHIR R4, RESTful API, 3.1.0.14)."""

    async def published(request: Request) -> Response:
        return file_response({"file": choose(request)}, "file", request)

    return published


def _smart_configuration(door: Door) -> Endpoint:
    """HL7 SMART App Launch 2: .well-known/smart-configuration, beside the FHIR address and at the host's root."""
    document = {
        "issuer": door.base_url,
        "jwks_uri": f"{door.base_url}/login/keys",
        "authorization_endpoint": f"{door.base_url}/oauth2/authorize",
        "token_endpoint": f"{door.base_url}/oauth2/token",
        "introspection_endpoint": f"{door.base_url}/oauth2/introspect",
        "revocation_endpoint": f"{door.base_url}/oauth2/revoke",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "scopes_supported": [SCOPE, *sorted(WORDS), "patient/*.rs", "patient/*.cruds", "user/*.rs", "user/*.cruds"],
        "capabilities": CAPABILITIES,
    }

    async def configuration(request: Request) -> Response:
        return JSONResponse(document, headers={"cache-control": "public, max-age=300"})

    return configuration
