"""The second lock: what was signed as destination must also look like a slot of this server.

A door that was tricked into signing another address could still not lead Envoy anywhere else.
Stands before every route but those that say that they are the door's (routes.py).
Envoy: envoy.extensions.filters.http.rbac.v3.RBAC.
"""

from __future__ import annotations

import re
from typing import Final

from cloister.gateway.envoy.estate import HOST_PATTERN, SLOT_PATTERN, claims_are
from cloister.gateway.envoy.plan import Json, Plan, typed

FILTER: Final = "envoy.filters.http.rbac"


def slot_pattern(plan: Plan) -> str:
    return re.escape(str(plan.slots_folder)) + r"/[0-9]{1,5}\.sock"


def destination_filter(plan: Plan) -> Json:
    signed_slot = claims_are({"dst": slot_pattern(plan)})
    if plan.estate is not None:  # slots of other machines: those check the rest themselves
        signed_slot = claims_are({"dst": SLOT_PATTERN, "host": HOST_PATTERN})
    return typed(
        FILTER,
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "ALLOW", "policies": {"session": {"permissions": [signed_slot], "principals": [{"any": True}]}}},
    )
