"""Upstreams: the door's socket, and every slot of this server, of which only a ticket can choose one.

`override_host` falls back to its child policy when the named slot is not declared: with round robin below, a
ticket for a missing slot was served by another person's session. So the child is a subset that nothing is in.
Envoy: envoy.config.cluster.v3.Cluster, envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import DOOR_CLUSTER, JWT_FILTER, SESSION_CLUSTER, TICKET_METADATA, Json, Plan, typed

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
    nobody = typed(
        "envoy.load_balancing_policies.subset",
        "envoy.extensions.load_balancing_policies.subset.v3.Subset",
        fallback_policy="NO_FALLBACK",
        subset_selectors=[{"keys": ["never"]}],
        subset_lb_policy={
            "policies": [
                {
                    "typed_extension_config": typed(
                        "envoy.load_balancing_policies.round_robin",
                        "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
                    )
                }
            ]
        },
    )
    by_ticket = typed(
        "envoy.load_balancing_policies.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"metadata": {"key": JWT_FILTER, "path": [{"key": TICKET_METADATA}, {"key": "dst"}]}}],
        fallback_policy={"policies": [{"typed_extension_config": nobody}]},
    )
    return {
        "name": SESSION_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": _BREAKERS,
        "typed_extension_protocol_options": _http1(),
        "load_balancing_policy": {"policies": [{"typed_extension_config": by_ticket}]},
        "load_assignment": {
            "cluster_name": SESSION_CLUSTER,
            "endpoints": [{"lb_endpoints": [_pipe(plan.slot(number)) for number in range(plan.slots)]}],
        },
    }
