"""ocserv's configuration, written from a profile: certificates only, no password ever. ocserv(8), version 1.1.

It listens on a loopback address: Envoy passes on what asks for the VPN's server name, with the client's address in front (PROXY
protocol, version 2). `restrict-user-to-routes` writes packet rules for each tunnel, and needs the package iptables.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.gateway.vpn.profile import Profile

PERSON_OID: Final = "0.9.2342.19200300.100.1.1"  # UID (RFC 4519 2.39)
GROUP_OID: Final = "2.5.4.11"  # OU
TLS: Final = "NORMAL:%SERVER_PRECEDENCE:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-DTLS1.2:-RSA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where this ocserv lives. `folder` is private to it."""

    folder: Path
    port: int
    hook: Path  # asks whether this person is signed in, before a tunnel stands
    address: str = "127.0.0.1"

    @property
    def control(self) -> Path:
        return self.folder / "occtl.sock"


def configuration(profile: Profile, place: Place) -> dict[str, str]:
    """Its files by name, below `place.folder`."""
    return {"ocserv.conf": _main(profile, place), **{f"groups/{name}": _group(one.routes) for name, one in profile.groups.items()}}


def _group(routes: tuple[str, ...]) -> str:
    return "".join(f"route = {route}\n" for route in routes) + "restrict-user-to-routes = true\n"


def _main(profile: Profile, place: Place) -> str:
    folder = place.folder
    lines = {
        "auth": '"certificate"',
        "listen-host": place.address,
        "tcp-port": place.port,
        "listen-proxy-proto": "true",
        "run-as-user": "nobody",
        "run-as-group": "nogroup",
        "socket-file": folder / "ocserv.sock",
        "occtl-socket-file": place.control,
        "use-occtl": "true",
        "pid-file": folder / "ocserv.pid",
        "server-cert": folder / "chain.pem",
        "server-key": folder / "key.pem",
        "ca-cert": folder / "people.pem",
        "cert-user-oid": PERSON_OID,
        "cert-group-oid": GROUP_OID,
        "isolate-workers": "true",
        "max-same-clients": 2,
        "max-clients": 4096,
        "cookie-timeout": 60,
        "deny-roaming": "false",  # behind Envoy every connection comes from the loopback address
        "rekey-time": 3600,
        "keepalive": 60,
        "dpd": 30,
        "mobile-dpd": 300,
        "tls-priorities": f'"{TLS}"',
        "cisco-client-compat": "true",
        "device": "vpns",
        "ipv4-network": profile.network,
        "predictable-ips": "true",
        "config-per-group": f"{folder}/groups/",
        "default-group-config": folder / "nobody",
        "connect-script": place.hook,
        "max-ban-score": 80,
        "ban-reset-time": 60,
        "log-level": 1,
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items())
