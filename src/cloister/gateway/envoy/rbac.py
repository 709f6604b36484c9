"""The second lock: what was signed as destination must also look like a slot of this server.

A door that was tricked into signing another address could still not lead Envoy anywhere else.
Envoy: envoy.extensions.filters.http.rbac.v3.RBAC.
"""

from __future__ import annotations

import re

from cloister.gateway.envoy.plan import JWT_FILTER, TICKET_METADATA, Json, Plan, typed
from cloister.gateway.envoy.routes import DOOR_EXACT, DOOR_TREES


def slot_pattern(plan: Plan) -> str:
    return re.escape(str(plan.slots_folder)) + r"/[0-9]{1,5}\.sock"


def destination_filter(plan: Plan) -> Json:
    door: list[Json] = [{"url_path": {"path": {"exact": path}}} for path in (*DOOR_EXACT, *DOOR_TREES)]
    door += [{"url_path": {"path": {"prefix": f"{tree}/"}}} for tree in DOOR_TREES]
    door.append(
        {
            "and_rules": {
                "rules": [
                    {"url_path": {"path": {"prefix": "/fhir/"}}},
                    {"header": {"name": ":method", "string_match": {"exact": "OPTIONS"}}},
                    {"header": {"name": "access-control-request-method", "present_match": True}},
                ]
            }
        }
    )
    signed_slot = {
        "sourced_metadata": {
            "metadata_matcher": {
                "filter": JWT_FILTER,
                "path": [{"key": TICKET_METADATA}, {"key": "dst"}],
                "value": {"string_match": {"safe_regex": {"regex": slot_pattern(plan)}}},
            }
        }
    }
    everyone = [{"any": True}]
    return typed(
        "envoy.filters.http.rbac",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        rules={
            "action": "ALLOW",
            "policies": {
                "door": {"permissions": door, "principals": everyone},
                "session": {"permissions": [signed_slot], "principals": everyone},
            },
        },
    )
