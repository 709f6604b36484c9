"""What the gateway's configuration depends on: everything else in it is fixed.

The configuration is written once, before Envoy starts; starting or ending a session never changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cloister.gateway.envoy.estate import Estate

Json = dict[str, Any]

TICKET_COOKIE: Final = "__Host-ticket"
TICKET_ISSUER: Final = "cloister"
TICKET_AUDIENCE: Final = "cloister-session"
TICKET_SECONDS_MAX: Final = 660  # ten minutes, and a minute of clock skew
JWT_FILTER: Final = "envoy.filters.http.jwt_authn"
DOOR_CLUSTER: Final = "door"
SESSION_CLUSTER: Final = "sessions"
VPN_CLUSTER: Final = "vpn"
FHIR_PREFIX: Final = "/fhir"
# What the ticket's check writes of a verified ticket, and nobody else: a client's headers of these names are removed twice, before
# everything (headers.py) and by the check itself. Headers, because the check's other way to hand claims on costs 10 us a request.
CLAIM_HEADERS: Final = {"sid": "x-cloister-sid", "dst": "x-cloister-dst", "host": "x-cloister-host"}
TICKET_HEADER: Final = "x-cloister-ticket"  # all claims, base64url as they were signed: for the session


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpn:
    """The VPN's server name, and where ocserv takes what asks for it (PROXY protocol, version 2)."""

    name: str
    address: str
    port: int


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
    gateway: str = ""  # its name among several: the door writes down by which one somebody came
    estate: Estate | None = None  # where there are several machines
    heap_bytes_max: int = 2 * 1024**3
    door_requests_per_second: int = 2000  # twice as many at once
    address_requests_per_second: int = 500
    http3: bool = False  # the same over UDP, on the same port
    vpn: Vpn | None = None
    card_name: str = ""  # the server name at which a card's certificate is asked for (cards.py); empty: none
    tls_minimum: str = "TLSv1_3"  # or TLSv1_2, for old devices
    dynamic: Path | None = None  # the folder whose files Envoy follows (files.py); None for one static configuration

    @property
    def card_domains(self) -> list[str]:
        """As clients write that name in Host and :authority."""
        return [self.card_name, f"{self.card_name}:{self.port}"]

    def slot(self, number: int) -> str:
        return str(self.slots_folder / f"{number}.sock")


def typed(name: str, kind: str, **fields: Any) -> Json:
    """An Envoy extension: its name and its typed configuration."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}}
