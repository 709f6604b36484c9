"""A server's ingress: what other machines of the estate may reach here, each over mutual TLS, told apart by the name they ask for.

- its sessions, for the edges of controllers: the ticket is checked again and picks the slot, never a header;
- on a controller, the door, for edges and servers; where the database is, PostgreSQL, for store gates and controllers.

And the way out: on a machine without a database, the socket at which gates look for PostgreSQL leads through the tunnel.
Envoy: envoy.config.listener.v3.Listener, envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.gateway.envoy import estate as machines
from cloister.gateway.envoy.clusters import door_cluster, session_cluster
from cloister.gateway.envoy.connection_manager import connection_manager, router
from cloister.gateway.envoy.estate import Estate, common, database_cluster, doors_cluster
from cloister.gateway.envoy.jwt import KEYS_PATH, ticket_filter
from cloister.gateway.envoy.plan import CLAIM_HEADERS, SESSION_CLUSTER, TICKET_HEADER, Json, Plan, typed
from cloister.gateway.envoy.rbac import slot_pattern
from cloister.gateway.envoy.replies import local_replies
from cloister.gateway.envoy.routes import SESSION_SECONDS, screen_route

OWN_DOOR: Final = "own-door"
OWN_DATABASE: Final = "own-database"
CONNECTION_BUFFER_BYTES: Final = 1024 * 1024
TUNNEL_IDLE: Final = "0s"  # a gate keeps its connections; PostgreSQL's own keepalive ends dead ones
CONNECTION_LIFE: Final = "3600s"  # so that a machine that was removed is out at the latest then, whatever it holds open


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """One machine's ingress, over the plan of its slots and door."""

    plan: Plan
    estate: Estate
    controller: bool  # has a door
    database: Path | None  # PostgreSQL's own socket, on the machine that has it
    tunnel: Path | None  # the socket to make, on machines that have it not


def ingress(wanted: Ingress) -> Json:
    """The whole configuration."""
    listeners, clusters = [_listener(wanted)], [session_cluster(wanted.plan), doors_cluster(wanted.estate)]
    if wanted.controller:
        clusters.append({**door_cluster(wanted.plan), "name": OWN_DOOR})
    if wanted.database is not None:
        clusters.append(_socket_cluster(OWN_DATABASE, wanted.database))
    if wanted.tunnel is not None:
        listeners.append(_tunnel(wanted.tunnel))
        clusters.append(database_cluster(wanted.estate))
    return {
        "node": {"id": wanted.estate.name, "cluster": "cloister"},  # Envoy asks for it where files are watched
        "admin": {"address": {"pipe": {"path": str(wanted.plan.admin_socket), "mode": 0o600}}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "overload_manager": {
            "resource_monitors": [
                typed(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=wanted.plan.connections_max,
                )
            ]
        },
    }


def _listener(wanted: Ingress) -> Json:
    estate = wanted.estate
    chains = [_chain(wanted, f"*{machines.SERVERS}", "believed-controllers", _sessions(wanted))]
    if wanted.controller:
        chains.append(_chain(wanted, f"*{machines.CONTROLLERS}", "believed-machines", _door(wanted)))
    if wanted.database is not None:
        chains.append(_chain(wanted, machines.DATABASE, "believed-machines", _tcp(OWN_DATABASE)))
    inspector = typed("envoy.filters.listener.tls_inspector", "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    return {
        "name": "ingress",
        "address": {"socket_address": {"address": estate.address, "port_value": estate.port}},
        "listener_filters": [inspector],
        "listener_filters_timeout": "5s",
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": chains,
    }


def _chain(wanted: Ingress, name: str, believing: str, last: Json) -> Json:
    tls = typed(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=common(wanted.estate, believing),
        require_client_certificate=True,
        # A resumed connection would not show the certificate again, so one that was revoked would go on.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return {
        "name": name.lstrip("*."),
        "filter_chain_match": {"server_names": [name]},
        "transport_socket_connect_timeout": "5s",
        "transport_socket": tls,
        "filters": [last],
    }


def _sessions(wanted: Ingress) -> Json:
    """What the edge does with a browser's request, done again: its word is not enough, the ticket is."""
    estate, where = wanted.estate, f"{wanted.estate.address}:{wanted.estate.port}"
    own = machines.claims_are({"dst": slot_pattern(wanted.plan), "host": where.replace(".", r"\.").replace("[", r"\[").replace("]", r"\]")})
    check = _allowing({"session": {"permissions": [own], "principals": [{"any": True}]}})
    routes = [screen_route(), {"match": {"prefix": "/"}, "route": {"cluster": SESSION_CLUSTER, "timeout": f"{SESSION_SECONDS}s"}}]
    written = [*CLAIM_HEADERS.values(), TICKET_HEADER]
    return _http(wanted, f"sessions of {estate.name}", [ticket_filter(wanted.plan, last=True), check], routes, stripped=written)


def _allowing(policies: Json) -> Json:
    return typed(
        "envoy.filters.http.rbac",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "ALLOW", "policies": policies},
    )


def _door(wanted: Ingress) -> Json:
    """For gateways, which say where a client is; servers fetch here the keys that verify tickets, and nothing else."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": OWN_DOOR, "timeout": "60s"}}
    keys = {"permissions": [{"url_path": {"path": {"exact": KEYS_PATH}}}], "principals": [{"any": True}]}
    gateway: Json = {"authenticated": {"principal_name": {"suffix": machines.CONTROLLERS}}}
    check = _allowing({"keys": keys, "gateways": {"permissions": [{"any": True}], "principals": [gateway]}})
    manager = _http(wanted, "door", [check], [route], stripped=[])
    # Which card a browser showed (cards.py) is a gateway's word, as its address is; servers are let in for the keys alone.
    manager["typed_config"]["forward_client_cert_details"] = "ALWAYS_FORWARD_ONLY"
    return manager


def _http(wanted: Ingress, name: str, filters: list[Json], routes: list[Json], *, stripped: list[str]) -> Json:
    """`stripped`: what the edge said of the ticket, which is said anew here. The client's address is known at the edge alone and stays;
    whatever a client wrote under our names, the edge took out, and nobody but a controller's edge is let in here."""
    manager = connection_manager(wanted.plan)
    settings = manager["typed_config"]
    mutation = typed(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove": name} for name in stripped],
    )
    settings |= {
        "stat_prefix": "ingress",
        # The client's address is what the edge wrote; what a client wrote there, the edge took out.
        "use_remote_address": False,
        "skip_xff_append": True,
        "early_header_mutation_extensions": [mutation] if stripped else [],
        "local_reply_config": local_replies(),
        "http_filters": [*filters, router()],
        "route_config": {"name": name, "virtual_hosts": [{"name": "machines", "domains": ["*"], "routes": routes}]},
    }
    settings["common_http_protocol_options"] = {**settings["common_http_protocol_options"], "max_connection_duration": CONNECTION_LIFE}
    return manager


def _tcp(cluster: str) -> Json:
    return typed(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=cluster,
        cluster=cluster,
        idle_timeout=TUNNEL_IDLE,
    )


def _socket_cluster(name: str, path: Path) -> Json:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [{"max_connections": 10_000, "max_pending_requests": 10_000}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tunnel(path: Path) -> Json:
    """As PostgreSQL's own socket: who may knock is said by the folder that it is in."""
    return {
        "name": "tunnel",
        "address": {"pipe": {"path": str(path), "mode": 0o660}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": [{"filters": [_tcp(machines.DATABASE_CLUSTER)]}],
    }
