"""The HTTP connection manager: paths normalised first, sizes and times bounded, then ticket, destination, router.

Envoy: envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.headers import stripping
from cloister.gateway.envoy.jwt import ticket_filter
from cloister.gateway.envoy.plan import Json, Plan, typed
from cloister.gateway.envoy.rbac import destination_filter
from cloister.gateway.envoy.replies import local_replies
from cloister.gateway.envoy.routes import SESSION_SECONDS, route_configuration

HEADER_KIBIBYTES_MAX: Final = 60
STREAMS_PER_CONNECTION_MAX: Final = 100
SLOW_MILLISECONDS: Final = 1000


def _access_log() -> Json:
    """Only what failed or was slow, and never a path: a query may hold a patient's name."""
    status = {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "log_status"}}}}
    slow = {"duration_filter": {"comparison": {"op": "GE", "value": {"default_value": SLOW_MILLISECONDS, "runtime_key": "log_slow"}}}}
    return {
        **typed(
            "envoy.access_loggers.stderr",
            "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            log_format={
                "json_format": {
                    "at": "%START_TIME%",
                    "event": "gateway.request",
                    "method": "%REQ(:METHOD)%",
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "milliseconds": "%DURATION%",
                    "sent": "%BYTES_SENT%",
                    "received": "%BYTES_RECEIVED%",
                    "session": "%REQ(X-CLOISTER-SID)%",
                }
            },
        ),
        "filter": {"or_filter": {"filters": [status, slow]}},
    }


def connection_manager(plan: Plan) -> Json:
    return typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        server_name="cloister",
        use_remote_address=True,
        forward_client_cert_details="SANITIZE",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        max_request_headers_kb=HEADER_KIBIBYTES_MAX,
        request_headers_timeout="10s",
        request_timeout=f"{SESSION_SECONDS}s",
        stream_idle_timeout=f"{SESSION_SECONDS}s",
        common_http_protocol_options={
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": "900s",
            "max_headers_count": 100,
        },
        http2_protocol_options={
            "max_concurrent_streams": STREAMS_PER_CONNECTION_MAX,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 4 * 1024 * 1024,
        },
        early_header_mutation_extensions=[stripping()],
        local_reply_config=local_replies(),
        access_log=[_access_log()],
        http_filters=[
            ticket_filter(plan),
            destination_filter(plan),
            typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
        ],
        route_config=route_configuration(plan),
    )
