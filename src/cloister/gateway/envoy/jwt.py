"""The ticket's check: an EdDSA JWT (RFC 7519, RFC 8037) from the cookie or from `Authorization: Bearer`.

Keys come from the door over its UNIX socket and are fetched again by themselves, so that they can rotate and so that Envoy keeps serving
while the door restarts. The verified claims, which this filter alone writes, choose the slot.
Envoy: envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import (
    CLAIM_HEADERS,
    DOOR_CLUSTER,
    JWT_FILTER,
    TICKET_AUDIENCE,
    TICKET_COOKIE,
    TICKET_HEADER,
    TICKET_ISSUER,
    TICKET_SECONDS_MAX,
    Json,
    Plan,
    typed,
)

KEYS_PATH: Final = "/login/keys"
BEARER: Final = "Bearer "
DPOP: Final = "DPoP "  # RFC 9449 7.1: the session compares the token with the proof, so it is passed on


def _provider(plan: Plan, source: Json, *, again: bool) -> Json:
    """`again`: another Envoy verifies the same ticket after this one, or the session needs it, so the token is not taken out here."""
    return {
        "issuer": TICKET_ISSUER,
        "audiences": [TICKET_AUDIENCE],
        "remote_jwks": {
            "http_uri": {"uri": f"http://door{KEYS_PATH}", "cluster": DOOR_CLUSTER, "timeout": "2s"},
            "cache_duration": "30s",
            "async_fetch": {"fast_listener": False, "failed_refetch_duration": "1s"},
        },
        **source,
        **({"forward": True} if again else {}),
        "forward_payload_header": TICKET_HEADER,
        **({"clear_route_cache": True} if plan.estate is not None else {}),  # the ticket says which machine (estate.py)
        "claim_to_headers": [{"header_name": header, "claim_name": claim} for claim, header in CLAIM_HEADERS.items()],
        "require_expiration": True,
        "max_lifetime": f"{TICKET_SECONDS_MAX}s",
        "clock_skew_seconds": 10,
        # Per worker; a ticket is renewed every few minutes, so twice the slots hold all that live.
        "jwt_cache_config": {"jwt_cache_size": max(1000, plan.slots * 2)},
    }


def ticket_filter(plan: Plan, *, last: bool = False) -> Json:
    """Every request needs a ticket, but on routes that say that they are the door's (routes.py). `last`: no Envoy stands behind this one.

    A request with a bearer token is judged by that alone: two tickets in one request would mix two sessions' claims."""
    again = plan.estate is not None and not last
    bearer = {"from_headers": [{"name": "Authorization", "value_prefix": BEARER}]}
    bound = {"from_headers": [{"name": "Authorization", "value_prefix": DPOP}]}
    has_bearer = [{"name": "authorization", "string_match": {"prefix": BEARER}}]
    has_bound = [{"name": "authorization", "string_match": {"prefix": DPOP}}]
    return typed(
        JWT_FILTER,
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={
            "bearer": _provider(plan, bearer, again=again),
            "dpop": _provider(plan, bound, again=True),
            "cookie": _provider(plan, {"from_cookies": [TICKET_COOKIE]}, again=again),
        },
        rules=[
            {"match": {"prefix": "/", "headers": has_bearer}, "requires": {"provider_name": "bearer"}},
            {"match": {"prefix": "/", "headers": has_bound}, "requires": {"provider_name": "dpop"}},
            {"match": {"prefix": "/"}, "requires": {"provider_name": "cookie"}},
        ],
    )
