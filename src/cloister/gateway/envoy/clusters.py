"""Upstreams: the door's socket, and every slot of this server, of which only a ticket can choose one.

`override_host` falls back to its child policy when the named slot is not declared: with round robin below, a
ticket for a missing slot was served by another person's session. So the child is a subset that nothing is in.
Envoy: envoy.config.cluster.v3.Cluster, envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.estate import by_claim, doors_cluster, servers_cluster
from cloister.gateway.envoy.plan import DOOR_CLUSTER, SESSION_CLUSTER, VPN_CLUSTER, Json, Plan, typed

CONNECTIONS_MAX: Final = 100_000
# Below the keep-alive of sessions and door, so that it is Envoy who lets an idle connection go.
UPSTREAM_IDLE: Final = "300s"

_BREAKERS: Final = {
    "thresholds": [
        {"max_connections": CONNECTIONS_MAX, "max_pending_requests": 10_000, "max_requests": CONNECTIONS_MAX, "max_retries": 100}
    ]
}


def _pipe(path: str) -> Json:
    return {"endpoint": {"address": {"pipe": {"path": path}}}}


def _http1() -> Json:
    options = typed(
        "",
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        common_http_protocol_options={"idle_timeout": UPSTREAM_IDLE},
        explicit_http_config={"http_protocol_options": {}},
    )
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options["typed_config"]}


def clusters(plan: Plan) -> list[Json]:
    """With several machines, doors and sessions are wherever the estate says; a session here is reached like one elsewhere."""
    if plan.estate is not None:
        return [doors_cluster(plan.estate), servers_cluster(plan.estate), *vpn_clusters(plan)]
    return [door_cluster(plan), session_cluster(plan), *vpn_clusters(plan)]


def door_cluster(plan: Plan) -> Json:
    return {
        "name": DOOR_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": _BREAKERS,
        "typed_extension_protocol_options": _http1(),
        "load_assignment": {"cluster_name": DOOR_CLUSTER, "endpoints": [{"lb_endpoints": [_pipe(str(plan.door_socket))]}]},
    }


def session_cluster(plan: Plan) -> Json:
    return {
        "name": SESSION_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": _BREAKERS,
        "typed_extension_protocol_options": _http1(),
        "load_balancing_policy": by_claim("dst"),
        "load_assignment": {
            "cluster_name": SESSION_CLUSTER,
            "endpoints": [{"lb_endpoints": [_pipe(plan.slot(number)) for number in range(plan.slots)]}],
        },
    }


def vpn_clusters(plan: Plan) -> list[Json]:
    """ocserv, told the client's true address by the PROXY protocol, version 2."""
    if plan.vpn is None:
        return []
    announced = typed(
        "envoy.transport_sockets.upstream_proxy_protocol",
        "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        config={"version": "V2"},
        transport_socket=typed("envoy.transport_sockets.raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
    )
    where = {"endpoint": {"address": {"socket_address": {"address": plan.vpn.address, "port_value": plan.vpn.port}}}}
    return [
        {
            "name": VPN_CLUSTER,
            "type": "STATIC",
            "connect_timeout": "2s",
            "circuit_breakers": _BREAKERS,
            "transport_socket": announced,
            "load_assignment": {"cluster_name": VPN_CLUSTER, "endpoints": [{"lb_endpoints": [where]}]},
        }
    ]
