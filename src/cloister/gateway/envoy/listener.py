"""The one listener: TLS, then HTTP. Envoy: envoy.config.listener.v3.Listener."""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.connection_manager import connection_manager
from cloister.gateway.envoy.plan import Json, Plan
from cloister.gateway.envoy.tls import transport_socket

CONNECTION_BUFFER_BYTES: Final = 1024 * 1024


def listener(plan: Plan) -> Json:
    return {
        "name": "gateway",
        "address": {"socket_address": {"address": plan.address, "port_value": plan.port}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": [
            {
                "transport_socket_connect_timeout": "10s",
                "transport_socket": transport_socket(plan),
                "filters": [connection_manager(plan)],
            }
        ],
    }
