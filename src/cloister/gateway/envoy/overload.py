"""What Envoy does before it is full: it stops taking more, and lets those who are in go on.

Envoy: envoy.config.overload.v3.OverloadManager; premature resets of HTTP/2 streams (CVE-2023-44487) by runtime.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.gateway.envoy.plan import Json, Plan, typed

_HEAP: Final = "envoy.resource_monitors.fixed_heap"
RESETS_MAX: Final = 200  # streams that a connection may reset within a second of their start, before half of all were such


def _when(name: str, full: float, scaled: tuple[float, float] | None = None, **more: Any) -> Json:
    trigger: Json = {"name": _HEAP}
    if scaled is None:
        trigger["threshold"] = {"value": full}
    else:
        trigger["scaled"] = {"scaling_threshold": scaled[0], "saturation_threshold": scaled[1]}
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger], **more}


def overload_manager(plan: Plan) -> Json:
    connections = typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=plan.connections_max,
    )
    heap = typed(_HEAP, "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=plan.heap_bytes_max)
    idle = typed(
        "",
        "envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
        timer_scale_factors=[{"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "5s"}],
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [connections, heap],
        "actions": [
            _when("reduce_timeouts", 0, (0.80, 0.92), typed_config=idle["typed_config"]),
            _when("shrink_heap", 0.85),
            _when("disable_http_keepalive", 0.90),
            _when("stop_accepting_requests", 0.95),
            _when("stop_accepting_connections", 0.97),
        ],
    }


def runtime() -> Json:
    values = {
        "overload.premature_reset_total_stream_count": RESETS_MAX,
        "overload.premature_reset_min_stream_lifetime_seconds": 1,
        "http.max_requests_per_io_cycle": 20,
    }
    return {"layers": [{"name": "fixed", "static_layer": values}]}
