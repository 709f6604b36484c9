"""The HTTP connection manager: paths normalised first, sizes and times bounded, then ticket, destination, router.

Envoy: envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.headers import stripping
from cloister.gateway.envoy.jwt import ticket_filter
from cloister.gateway.envoy.plan import Json, Plan, typed
from cloister.gateway.envoy.rate_limits import rate_limit_filter
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


def router() -> Json:
    """Without counters for each status and cluster, which nobody reads: those of the connection manager say the same."""
    kind = "envoy.extensions.filters.http.router.v3.Router"
    return typed("envoy.filters.http.router", kind, suppress_envoy_headers=True, dynamic_stats=False)


def connection_manager(plan: Plan, *, http3: bool = False) -> Json:
    return typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        codec_type="HTTP3" if http3 else "AUTO",
        server_name="cloister",
        use_remote_address=True,
        generate_request_id=False,  # nobody reads one; a client's is removed (headers.py)
        forward_client_cert_details="SANITIZE",
        normalize_path=False,  # what is not in its plain form is refused instead (paths.py)
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
        **({"http3_protocol_options": {}} if http3 else {}),
        http2_protocol_options={
            "max_concurrent_streams": STREAMS_PER_CONNECTION_MAX,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 4 * 1024 * 1024,
        },
        upgrade_configs=[{"upgrade_type": "websocket", "enabled": False}],  # only where a route says so
        early_header_mutation_extensions=[stripping()],
        local_reply_config=local_replies(),
        access_log=[_access_log()],
        http_filters=[
            rate_limit_filter(),
            ticket_filter(plan),
            destination_filter(plan),
            router(),
        ],
        route_config=route_configuration(plan),
    )
