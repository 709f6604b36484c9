"""The ticket's check: an EdDSA JWT (RFC 7519, RFC 8037) from the cookie or from `Authorization: Bearer`.

Keys come from the door over its UNIX socket and are fetched again by themselves, so that they can rotate
and so that Envoy keeps serving while the door restarts. The verified claims, never a client's header,
choose the slot. Envoy: envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import (
    CLAIM_HEADERS,
    DOOR_CLUSTER,
    JWT_FILTER,
    TICKET_AUDIENCE,
    TICKET_COOKIE,
    TICKET_ISSUER,
    TICKET_METADATA,
    TICKET_SECONDS_MAX,
    Json,
    Plan,
    typed,
)
from cloister.gateway.envoy.routes import door_matches

KEYS_PATH: Final = "/login/keys"
BEARER: Final = "Bearer "


def _provider(plan: Plan, source: Json) -> Json:
    return {
        "issuer": TICKET_ISSUER,
        "audiences": [TICKET_AUDIENCE],
        "remote_jwks": {
            "http_uri": {"uri": f"http://door{KEYS_PATH}", "cluster": DOOR_CLUSTER, "timeout": "2s"},
            "cache_duration": "30s",
            "async_fetch": {"fast_listener": False, "failed_refetch_duration": "1s"},
        },
        **source,
        "payload_in_metadata": TICKET_METADATA,
        "claim_to_headers": [{"header_name": header, "claim_name": claim} for header, claim in CLAIM_HEADERS.items()],
        "require_expiration": True,
        "max_lifetime": f"{TICKET_SECONDS_MAX}s",
        "clock_skew_seconds": 10,
        # Per worker; a ticket is renewed every few minutes, so twice the slots hold all that live.
        "jwt_cache_config": {"jwt_cache_size": max(1000, plan.slots * 2)},
    }


def ticket_filter(plan: Plan) -> Json:
    """A request with a bearer token is judged by that alone: two tickets in one request would mix two sessions' claims."""
    bearer = {"from_headers": [{"name": "Authorization", "value_prefix": BEARER}]}
    has_bearer = [{"name": "authorization", "string_match": {"prefix": BEARER}}]
    return typed(
        JWT_FILTER,
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"bearer": _provider(plan, bearer), "cookie": _provider(plan, {"from_cookies": [TICKET_COOKIE]})},
        rules=[
            *({"match": match} for match in door_matches()),
            {"match": {"prefix": "/", "headers": has_bearer}, "requires": {"provider_name": "bearer"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "cookie"}},
        ],
    )
