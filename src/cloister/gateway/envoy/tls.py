"""TLS downstream: 1.3; 1.2 with forward secrecy and AEAD only where the settings want it; the hybrid X25519MLKEM768 first.

Envoy: envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import Json, Plan, typed

GROUPS: Final = ["X25519MLKEM768", "X25519", "P-256"]
CIPHERS_TLS12: Final = [
    "[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-CHACHA20-POLY1305]",
    "[ECDHE-RSA-AES256-GCM-SHA384|ECDHE-RSA-CHACHA20-POLY1305]",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
]


SERVER_SECRET: Final = "server"


def certificate_secret(chain: str, key: str) -> Json:
    """The server's key and chain as a secret that can be replaced while connections stand (SDS)."""
    return {
        "name": SERVER_SECRET,
        "tls_certificate": {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}},
    }


def _certificates(plan: Plan) -> Json:
    if plan.dynamic is None:
        files = {"certificate_chain": {"filename": str(plan.certificate_chain)}, "private_key": {"filename": str(plan.private_key)}}
        return {"tls_certificates": [files]}
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(plan.dynamic / "certificate.json")}}
    return {"tls_certificate_sds_secret_configs": [{"name": SERVER_SECRET, "sds_config": source}]}


def transport_socket(plan: Plan) -> Json:
    return typed(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {
                "tls_minimum_protocol_version": plan.tls_minimum,
                "tls_maximum_protocol_version": "TLSv1_3",
                **({"cipher_suites": CIPHERS_TLS12} if plan.tls_minimum == "TLSv1_2" else {}),
                "ecdh_curves": GROUPS,
            },
            **_certificates(plan),
        },
    )


def quic_socket(plan: Plan) -> Json:
    """TLS 1.3 inside QUIC (RFC 9001), with the same certificate and groups."""
    context = {"alpn_protocols": ["h3"], "tls_params": {"ecdh_curves": GROUPS}, **_certificates(plan)}
    return typed(
        "envoy.transport_sockets.quic",
        "envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
        downstream_tls_context={"common_tls_context": context},
    )
