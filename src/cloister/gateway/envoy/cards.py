"""The cards' own server name, on the port of all: every connection is asked for a certificate, and shows its key anew.

The handshake proves the key on the card. Whose certificate it is, whether it still holds and who revoked it is judged by the door
(gateway/certificate.py), which can say in a page what is wrong; so any certificate is let in here, and whoever shows none reaches that
page alone (routes.py). It goes to the door in x-forwarded-client-cert, written by Envoy over what a client sent; sessions get its
thumbprint alone and compare it with their ticket's (RFC 8705 3.1). A connection does not outlive the card by more than some minutes, and
is never resumed: that would ask no card.
Envoy: envoy.config.listener.v3.FilterChain, envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.connection_manager import connection_manager
from cloister.gateway.envoy.plan import Json, Plan
from cloister.gateway.envoy.routes import card_routes
from cloister.gateway.envoy.tls import transport_socket

CONNECTION_LIFE: Final = "300s"


def card_chains(plan: Plan) -> list[Json]:
    """Chosen by the server name that the client asks for (RFC 6066 3)."""
    if not plan.card_name:
        return []
    socket = transport_socket(plan)
    socket["typed_config"] |= {
        "require_client_certificate": False,
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
    }
    # A certificate is asked for, and nobody is turned away without a word: what requires it are the routes.
    socket["typed_config"]["common_tls_context"]["validation_context"] = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    manager = connection_manager(plan)
    settings = manager["typed_config"]
    settings |= {
        "stat_prefix": "cards",
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"cert": True, "chain": True},
        "route_config": card_routes(plan),
    }
    settings["common_http_protocol_options"] = {**settings["common_http_protocol_options"], "max_connection_duration": CONNECTION_LIFE}
    chain = {"transport_socket_connect_timeout": "10s", "transport_socket": socket, "filters": [manager]}
    return [{"filter_chain_match": {"server_names": [plan.card_name]}, **chain}]
