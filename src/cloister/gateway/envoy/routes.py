"""Routes: a few paths belong to the door, everything else to the session that the ticket names.

Envoy: envoy.config.route.v3.RouteConfiguration. The same lists tell the ticket's check and the
destination's check what needs no ticket, so that the three cannot drift apart.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.headers import response_headers
from cloister.gateway.envoy.plan import DOOR_CLUSTER, SESSION_CLUSTER, Json, Plan

DOOR_EXACT: Final = (
    "/fhir/R4/metadata",
    "/fhir/R4/openapi",
    "/fhir/R4/openapi.json",
    "/fhir/R4/.well-known/smart-configuration",
    "/favicon.ico",
)
DOOR_TREES: Final = ("/login", "/enrol", "/oauth2", "/static", "/.well-known")
DOOR_SECONDS: Final = 60  # a program's token waits for its session to open
SESSION_SECONDS: Final = 300  # a large transaction


# A browser's question before a request of another site's page (CORS preflight): it carries no ticket and asks for no data.
PREFLIGHT: Final[Json] = {
    "path_separated_prefix": "/fhir",
    "headers": [
        {"name": ":method", "string_match": {"exact": "OPTIONS"}},
        {"name": "access-control-request-method", "present_match": True},
    ],
}


def door_matches() -> list[Json]:
    return [PREFLIGHT] + [{"path": path} for path in DOOR_EXACT] + [{"path_separated_prefix": tree} for tree in DOOR_TREES]


def route_configuration(plan: Plan) -> Json:
    door = [{"match": match, "route": {"cluster": DOOR_CLUSTER, "timeout": f"{DOOR_SECONDS}s"}} for match in door_matches()]
    session = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": SESSION_CLUSTER,
            "timeout": f"{SESSION_SECONDS}s",
            # Only what never reached the session is sent again: a write is never sent twice.
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": 1},
        },
    }
    return {
        "name": "gateway",
        "virtual_hosts": [{"name": "trust", "domains": ["*"], "routes": [*door, session]}],
        "response_headers_to_add": response_headers(plan),
        "response_headers_to_remove": ["x-powered-by", "x-envoy-upstream-service-time"],
    }
