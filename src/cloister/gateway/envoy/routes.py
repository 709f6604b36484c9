"""Routes: a few paths belong to the door, everything else to the session that the ticket names.

Envoy: envoy.config.route.v3.RouteConfiguration. One table decides: a route of the door turns the ticket's and the
destination's check off for itself; whatever is not written here as the door's has both.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.estate import SERVERS_CLUSTER, elsewhere_route
from cloister.gateway.envoy.headers import CERTIFICATE_HEADER, request_headers, response_headers
from cloister.gateway.envoy.paths import unsound_route
from cloister.gateway.envoy.plan import DOOR_CLUSTER, JWT_FILTER, SESSION_CLUSTER, Json, Plan
from cloister.gateway.envoy.rate_limits import door_rate_limit
from cloister.gateway.envoy.rbac import FILTER as DESTINATION_FILTER

DOOR_EXACT: Final = (
    "/fhir/R4/metadata",
    "/fhir/R4/openapi",
    "/fhir/R4/openapi.json",
    "/fhir/R4/.well-known/smart-configuration",
    "/favicon.ico",
    "/proof.js",
)
DOOR_TREES: Final = ("/login", "/enrol", "/oauth2", "/static", "/.well-known")
DOOR_SECONDS: Final = 60  # a program's token waits for its session to open
SESSION_SECONDS: Final = 300  # a large transaction


# The WebSocket of a program's screen (RFC 6455).
SCREEN: Final = "/programs/[^/]+/screen"
SCREEN_IDLE_SECONDS: Final = 7200

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


def screen_route() -> Json:
    """To the session, and no longer a request: as long as somebody looks at it. The session itself ends it when it locks."""
    upgrade = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
    times = {"timeout": "0s", "idle_timeout": f"{SCREEN_IDLE_SECONDS}s"}
    return {"match": {"safe_regex": {"regex": SCREEN}}, "route": {"cluster": SESSION_CLUSTER, **times, **upgrade}}


NOT_SHOWN: Final[Json] = {
    "match": {"prefix": "/", "tls_context": {"presented": False}},
    "route": {"cluster": DOOR_CLUSTER, "regex_rewrite": {"pattern": {"regex": "/.*"}, "substitution": "/login/certificate"}},
}
# What needs no ticket says so on its own route.
_OFF: Final = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
WITHOUT_TICKET: Final = {JWT_FILTER: _OFF, DESTINATION_FILTER: _OFF}


def _filters(plan: Plan, match: Json) -> Json:
    limited = match.get("path_separated_prefix") in ("/login", "/enrol", "/oauth2")
    return {"typed_per_filter_config": {**WITHOUT_TICKET, **(door_rate_limit(plan) if limited else {})}}


def _door_routes(plan: Plan, matches: list[Json]) -> list[Json]:
    to_door = {"cluster": DOOR_CLUSTER, "timeout": f"{DOOR_SECONDS}s", "idle_timeout": f"{DOOR_SECONDS}s"}
    first: Json = {**unsound_route(), "typed_per_filter_config": WITHOUT_TICKET}
    return [first, *({"match": match, "route": to_door, **_filters(plan, match)} for match in matches)]


def session_route() -> Json:
    return {
        "match": {"prefix": "/"},
        "route": {
            "cluster": SESSION_CLUSTER,
            "timeout": f"{SESSION_SECONDS}s",
            # Only what never reached the session is sent again: a write is never sent twice.
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": 1},
        },
    }


def _session_routes(plan: Plan) -> list[Json]:
    """To sessions: of this machine, or of the one that the ticket names."""
    session, screen = session_route(), screen_route()
    if plan.estate is None:
        return [screen, session]
    # Whether a request may become a WebSocket is decided by the route before the ticket is read: so this one asks for no claim.
    screen["route"]["cluster"] = SERVERS_CLUSTER
    nowhere: Json = {"match": {"prefix": "/"}, "direct_response": {"status": 503}}  # without a host in it, a ticket leads nowhere
    return [screen, elsewhere_route(session["route"], session["match"]), nowhere]


def _elsewhere(name: str, domains: list[str]) -> Json:
    """A browser may send a request for one name over a connection to the other, if the certificate is for both (RFC 9110 15.5.20)."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 421}, "typed_per_filter_config": WITHOUT_TICKET}
    return {"name": name, "domains": domains, "routes": [answer]}


def card_routes(plan: Plan) -> Json:
    """At the cards' name: sign-in and session, nothing for programs and apps. The certificate itself is for the door alone.

    Whoever shows none is told so by the door, whatever they ask for; without a certificate no route leads to a sign-in or session."""
    shown = {"tls_context": {"presented": True}}
    public = _door_routes(plan, [{"path": "/favicon.ico"}, {"path_separated_prefix": "/static"}])
    told = {**NOT_SHOWN, **_filters(plan, {"path_separated_prefix": "/login"})}
    door = _door_routes(plan, [{**match, **shown} for match in ({"path": "/proof.js"}, {"path_separated_prefix": "/login"})])[1:]
    sessions = [
        {**route, "match": {**route["match"], **shown}, **({"request_headers_to_remove": [CERTIFICATE_HEADER]} if "route" in route else {})}
        for route in _session_routes(plan)
    ]
    cards = {"name": "cards", "domains": plan.card_domains, "routes": [*public, told, *door, *sessions]}
    return _configuration(plan, "cards", [cards, _elsewhere("elsewhere", ["*"])], card=True)


def route_configuration(plan: Plan) -> Json:
    trust = {"name": "trust", "domains": ["*"], "routes": [*_door_routes(plan, door_matches()), *_session_routes(plan)]}
    return _configuration(plan, "gateway", [trust, *([_elsewhere("cards", plan.card_domains)] if plan.card_name else [])])


def _configuration(plan: Plan, name: str, hosts: list[Json], *, card: bool = False) -> Json:
    return {
        "name": name,
        "virtual_hosts": hosts,
        "request_headers_to_add": request_headers(plan, card=card),
        "response_headers_to_add": response_headers(plan),
        "response_headers_to_remove": ["x-powered-by", "x-envoy-upstream-service-time"],
    }
