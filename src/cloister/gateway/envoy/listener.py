"""The listeners: TLS, then HTTP; cards and the VPN on the same port by their server names; HTTP/3 over UDP where it is asked for.

Envoy: envoy.config.listener.v3.Listener.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.cards import card_chains
from cloister.gateway.envoy.connection_manager import connection_manager
from cloister.gateway.envoy.plan import VPN_CLUSTER, Json, Plan, typed
from cloister.gateway.envoy.tls import quic_socket, transport_socket

CONNECTION_BUFFER_BYTES: Final = 1024 * 1024
VPN_IDLE: Final = "3600s"
_INSPECTOR: Final = typed("envoy.filters.listener.tls_inspector", "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")


def listeners(plan: Plan) -> list[Json]:
    return [listener(plan), *([_over_udp(plan)] if plan.http3 else [])]


def listener(plan: Plan) -> Json:
    web = {"transport_socket_connect_timeout": "10s", "transport_socket": transport_socket(plan), "filters": [connection_manager(plan)]}
    return {
        "name": "gateway",
        "address": {"socket_address": {"address": plan.address, "port_value": plan.port}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        **({"listener_filters": [_INSPECTOR], "listener_filters_timeout": "5s"} if plan.vpn or plan.card_name else {}),
        "filter_chains": [*_vpn(plan), *card_chains(plan), web],
    }


def _vpn(plan: Plan) -> list[Json]:
    """By its server name, undecrypted: ocserv ends that TLS itself, and asks for the person's certificate in it."""
    if plan.vpn is None:
        return []
    passed = typed(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="vpn",
        cluster=VPN_CLUSTER,
        idle_timeout=VPN_IDLE,
    )
    return [{"filter_chain_match": {"server_names": [plan.vpn.name]}, "filters": [passed]}]


def _over_udp(plan: Plan) -> Json:
    return {
        "name": "gateway-udp",
        "address": {"socket_address": {"protocol": "UDP", "address": plan.address, "port_value": plan.port}},
        "udp_listener_config": {"quic_options": {}, "downstream_socket_config": {"prefer_gro": True}},
        "filter_chains": [{"transport_socket": quic_socket(plan), "filters": [connection_manager(plan, http3=True)]}],
    }
