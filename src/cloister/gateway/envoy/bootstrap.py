"""The whole configuration, as Envoy reads it at its start. Envoy: envoy.config.bootstrap.v3.Bootstrap.

The administration interface is a UNIX socket that only Envoy's own account may open.
"""

from __future__ import annotations

from cloister.gateway.envoy.clusters import door_cluster, session_cluster
from cloister.gateway.envoy.listener import listener
from cloister.gateway.envoy.plan import Json, Plan, typed


def bootstrap(plan: Plan) -> Json:
    return {
        "admin": {"address": {"pipe": {"path": str(plan.admin_socket), "mode": 0o600}}},
        "static_resources": {"listeners": [listener(plan)], "clusters": [door_cluster(plan), session_cluster(plan)]},
        "overload_manager": {
            "resource_monitors": [
                typed(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=plan.connections_max,
                )
            ]
        },
    }
