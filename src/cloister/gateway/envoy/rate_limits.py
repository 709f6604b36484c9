"""How fast one address may knock at the door, and all together: against floods. Guessing is counted by the door itself, in the database.

Many people may sit behind one address, so the limit is wide; it is this gateway's own, and costs no call to anybody.
Envoy: envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import Json, Plan, typed

FILTER: Final = "envoy.filters.http.local_ratelimit"
_KIND: Final = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
ADDRESSES_MAX: Final = 20_000  # remembered at once, the longest unseen are forgotten
_ALWAYS: Final = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def _bucket(per_second: int) -> Json:
    return {"max_tokens": per_second * 2, "tokens_per_fill": per_second, "fill_interval": "1s"}


def rate_limit_filter() -> Json:
    """Made for a request only where its route has a limit."""
    return {**typed(FILTER, _KIND, stat_prefix="door"), "disabled": True}


def door_rate_limit(plan: Plan) -> Json:
    """For a route's `typed_per_filter_config`."""
    limit = typed(
        FILTER,
        _KIND,
        stat_prefix="door",
        token_bucket=_bucket(plan.door_requests_per_second),
        filter_enabled={**_ALWAYS, "runtime_key": "door_limit_enabled"},
        filter_enforced={**_ALWAYS, "runtime_key": "door_limit_enforced"},
        descriptors=[{"entries": [{"key": "remote_address"}], "token_bucket": _bucket(plan.address_requests_per_second)}],
        rate_limits=[{"actions": [{"remote_address": {}}]}],
        max_dynamic_descriptors=ADDRESSES_MAX,
        response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    )
    return {FILTER: limit["typed_config"]}
