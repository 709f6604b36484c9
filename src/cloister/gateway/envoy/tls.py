"""TLS downstream: 1.2 with forward secrecy and AEAD only, or 1.3; the hybrid X25519MLKEM768 first.

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


def transport_socket(plan: Plan) -> Json:
    return typed(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
                "cipher_suites": CIPHERS_TLS12,
                "ecdh_curves": GROUPS,
            },
            "tls_certificates": [
                {"certificate_chain": {"filename": str(plan.certificate_chain)}, "private_key": {"filename": str(plan.private_key)}}
            ],
        },
    )
