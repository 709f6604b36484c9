"""A verified ticket's payload as Envoy hands it to a session."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

HEADER = "x-cloister-ticket"


def payload(**claims: Any) -> str:
    """What is not given is as in a ticket of nobody's; `jkt` and `x5t` go where a ticket has them."""
    said: dict[str, Any] = {"sid": "", "dst": "/nowhere", "slot": 0, "person": "", "epoch": 0, "iat": 0, "exp": 0, **claims}
    confirmed = {member: said.pop(name, "") for name, member in (("jkt", "jkt"), ("x5t", "x5t#S256"))}
    confirmed = {member: value for member, value in confirmed.items() if value}
    text = json.dumps({**said, "cnf": confirmed} if confirmed else said)
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
