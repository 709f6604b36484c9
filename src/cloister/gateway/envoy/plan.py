"""What the gateway's configuration depends on: everything else in it is fixed.

The configuration is written once, before Envoy starts; starting or ending a session never changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

TICKET_COOKIE: Final = "__Host-ticket"
TICKET_ISSUER: Final = "cloister"
TICKET_AUDIENCE: Final = "cloister-session"
TICKET_SECONDS_MAX: Final = 660  # ten minutes, and a minute of clock skew
TICKET_METADATA: Final = "ticket"
JWT_FILTER: Final = "envoy.filters.http.jwt_authn"
DOOR_CLUSTER: Final = "door"
SESSION_CLUSTER: Final = "sessions"
FHIR_PREFIX: Final = "/fhir"
# Claims of a verified ticket that the session wants to see; the names that clients may never send.
CLAIM_HEADERS: Final = {
    "x-cloister-sid": "sid",
    "x-cloister-epoch": "epoch",
    "x-cloister-exp": "exp",
    "x-cloister-client": "client",
    "x-cloister-scope": "scope",
    "x-cloister-grant": "grant",
    "x-cloister-pace": "pace",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One gateway in front of one door and the slots of one server."""

    address: str
    port: int
    slots_folder: Path
    slots: int
    door_socket: Path
    admin_socket: Path
    certificate_chain: Path
    private_key: Path
    strict_transport: bool
    connections_max: int = 20_000

    def slot(self, number: int) -> str:
        return str(self.slots_folder / f"{number}.sock")


def typed(name: str, kind: str, **fields: Any) -> Json:
    """An Envoy extension: its name and its typed configuration."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}}
