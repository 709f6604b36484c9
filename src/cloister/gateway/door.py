"""The door: where people and programs prove themselves and get a session. A Starlette application on a UNIX socket.

Sees a passphrase's verifier, never a passphrase; carries sealed keys, opens none. Reached through Envoy only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cloister.base.errors import Unavailable
from cloister.gateway import openapi
from cloister.gateway.apps import WORDS, Apps
from cloister.gateway.certificate import CardSignIn
from cloister.gateway.coming_back import ComingBack
from cloister.gateway.enrol import Enrol
from cloister.gateway.files import file_response
from cloister.gateway.oauth import SCOPE, TokenEndpoint
from cloister.gateway.offered import JSON, LINKSET, OFFERED
from cloister.gateway.origins import Origins
from cloister.gateway.ports import Door, Published
from cloister.gateway.proving import TokenError
from cloister.gateway.requests import card_of, language_of
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


def door_application(door: Door) -> Starlette:
    """The routes are the rows of offered.py; a row without its function, or the other way round, does not start."""
    origins = Origins(door)
    answers = _answers(door, origins)
    shared = {one.key for one in OFFERED if one.shared}
    rows = [
        Route(one.path, origins.shared(answers[one.key]) if one.key in shared else answers[one.key], methods=list(one.methods))
        for one in OFFERED
    ]
    published = [Route(path, origins.shared(_published(choose)), methods=["GET"]) for path, choose in door.published.items()]
    assert len(answers) == len(OFFERED)
    return Starlette(routes=[*published, *rows], exception_handlers={HTTPException: _plain, TokenError: _wrong_form})


def _answers(door: Door, origins: Origins) -> dict[str, Endpoint]:
    sign_in, apps, enrol, coming = SignIn(door), Apps(door), Enrol(door), ComingBack(door)
    tokens = TokenEndpoint(door, {"authorization_code": apps.by_code, "refresh_token": apps.by_refresh})
    return {
        "login": _page(door, "login.html"),
        "prove": _page(door, "prove.html"),
        "described": _document(openapi.document(door.base_url)),
        "start": sign_in.start,
        "passphrase": sign_in.passphrase,
        "passkey": sign_in.passkey,
        "card": sign_in.card,
        "directory": sign_in.directory,
        "continued": sign_in.continued,
        "wait": sign_in.wait,
        "certificate": CardSignIn(door).proved,
        "leave": coming.leave,
        "back": coming.back,
        "keys": _keys(door),
        "enrol": enrol.page,
        "enrol_start": enrol.start,
        "enrol_finish": enrol.finish,
        "authorize": apps.authorize,
        "token": tokens.token,
        "unlock": tokens.unlock,
        "introspect": tokens.introspect,
        "revoke": tokens.revoke,
        "userinfo": apps.userinfo,
        "identity_keys": _identity_keys(door),
        "openid": _openid_configuration(door),
        "smart": _smart_configuration(door),
        "smart_of_fhir": _smart_configuration(door),
        "catalog": _document(openapi.catalog(door.base_url), f'{LINKSET}; profile="{openapi.PROFILE}"', link=openapi.LINK),
        "before": origins.before,
        "before_all": origins.before,
        "worker": _worker(door),
        "favicon": _favicon(door),
        "static": _static(door),
    }


async def _plain(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    return PlainTextResponse(f"{raised.detail}\n", status_code=raised.status_code, headers=raised.headers)


async def _wrong_form(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, TokenError)
    return PlainTextResponse(f"{raised.description}\n", status_code=raised.status)


def _page(door: Door, name: str) -> Endpoint:
    async def page(request: Request) -> Response:
        language = request.query_params.get("lang") or language_of(request)
        providers: list[dict[str, str]] = []
        directory = False
        with contextlib.suppress(Unavailable):  # without the database nobody signs in, but the page can still say so
            providers, directory = await door.providers.all(), await door.directories.any()
        # At the cards' name the certificate is there already; elsewhere the way to it is shown.
        here = bool(card_of(request))
        card = "/login/certificate" if here else f"{door.card_url}/login/certificate" if door.card_url else ""
        page = door.render(name, language=language, providers=providers, directory=directory, certificate=card, here=here)
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    return page


def _keys(door: Door) -> Endpoint:
    """JWKS (RFC 7517) for Envoy, which fetches it by itself."""

    async def keys(request: Request) -> Response:
        return JSONResponse(door.tickets.jwks(), headers={"cache-control": "no-store"})

    return keys


def _identity_keys(door: Door) -> Endpoint:
    """JWKS of id_tokens: other keys than those of tickets, so that neither is ever taken for the other."""

    async def keys(request: Request) -> Response:
        return JSONResponse(door.identity_key.jwks, headers={"cache-control": "public, max-age=300"})

    return keys


def _static(door: Door) -> Endpoint:
    async def static(request: Request) -> Response:
        return file_response(door.files, request.path_params["name"], request)

    return static


def _worker(door: Door) -> Endpoint:
    """The service worker: its name cannot change with its content, so that browsers find the next version (Service Workers, 2.7)."""

    async def worker(request: Request) -> Response:
        name = next((name for name in door.files if name.rpartition("/")[2].startswith("worker.")), "worker.js")
        answer = file_response(door.files, name, request)
        answer.headers["cache-control"] = "no-cache"
        return answer

    return worker


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
    return _document(
        {
            **_authority(door),
            "scopes_supported": [SCOPE, *sorted(WORDS), "patient/*.rs", "patient/*.cruds", "user/*.rs", "user/*.cruds"],
            "capabilities": CAPABILITIES,
        }
    )


def _openid_configuration(door: Door) -> Endpoint:
    """OpenID Connect Discovery 3: for applications of the hospital that only learn who somebody is."""
    return _document(
        {
            **_authority(door),
            "userinfo_endpoint": f"{door.base_url}/oauth2/userinfo",
            "scopes_supported": ["openid", "profile", "fhirUser", "offline_access", "online_access"],
            "subject_types_supported": ["public"],
            "response_modes_supported": ["query"],
            "claims_supported": ["sub", "name", "preferred_username", "locale", "fhirUser", "nonce"],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }
    )


def _authority(door: Door) -> dict[str, Any]:
    """RFC 8414: what both documents say."""
    return {
        "issuer": door.base_url,
        "jwks_uri": f"{door.base_url}/oauth2/keys",
        "authorization_endpoint": f"{door.base_url}/oauth2/authorize",
        "token_endpoint": f"{door.base_url}/oauth2/token",
        "introspection_endpoint": f"{door.base_url}/oauth2/introspect",
        "revocation_endpoint": f"{door.base_url}/oauth2/revoke",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _document(document: dict[str, Any], media_type: str = JSON, **more: str) -> Endpoint:

    async def configuration(request: Request) -> Response:
        return JSONResponse(document, media_type=media_type, headers={"cache-control": "public, max-age=300", **more})

    return configuration
