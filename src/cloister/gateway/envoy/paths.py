"""Paths in their plain form only: one that means something else to another reader is refused, not put right.

A dot segment, an encoded slash, dot, zero or semicolon, a path parameter (RFC 3986 3.3) and a backslash have each led a gateway and
what stands behind it to different files. Browsers resolve dots themselves; nobody who is honest sends the rest.
The first route of all: nothing else looks at such a request. Envoy: envoy.config.route.v3.Route, DirectResponseAction.
"""

from __future__ import annotations

from typing import Final

from cloister.gateway.envoy.plan import Json

UNSOUND: Final = r"[^?]*(;|\\|%(00|2[eEfF]|5[cC]|3[bB])|/\.{1,2}([/?]|$)).*"
REFUSED: Final = "This path is not in its plain form."


def unsound_route() -> Json:
    """403 here, and said as 400 to whoever asked (replies.py)."""
    return {"match": {"safe_regex": {"regex": UNSOUND}}, "direct_response": {"status": 403}}
