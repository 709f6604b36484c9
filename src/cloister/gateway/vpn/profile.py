"""Who may have which network: `STATE/vpn.json`, written by IT. A group is a role; one that is not named has no VPN.

    {"network": "192.168.77.0/24",
     "groups": {"radiologist": {"routes": ["10.50.0.0/24"], "requires": {"disk_encrypted": true}}}}

`requires` compares with what the workstation says of itself, which is as true as that workstation is.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import Invalid

NETWORK: Final = "192.168.77.0/24"
GROUP_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
FACTS: Final = frozenset({"system", "kernel", "disk_encrypted", "secure_boot", "agent"})
HINT: Final = "See docs/vpn.md for the form of vpn.json."


@dataclass(frozen=True, slots=True)
class Group:
    routes: tuple[str, ...]
    requires: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    network: str
    groups: Mapping[str, Group]


def read_profile(path: Path) -> Profile:
    """Raises Invalid, naming what is wrong, for anything that ocserv should not be told."""
    try:
        return profile_of(json.loads(path.read_text()))
    except FileNotFoundError:
        return Profile(NETWORK, {})
    except (OSError, ValueError):
        raise Invalid(f"{path} cannot be read as JSON.", hint=HINT, reason="vpn-profile") from None


def profile_of(said: Any) -> Profile:
    if not isinstance(said, dict) or set(said) - {"network", "groups"} or not isinstance(said.get("groups", {}), dict):
        raise Invalid("vpn.json says something unknown.", hint=HINT, reason="vpn-profile")
    return Profile(_network(said.get("network", NETWORK)), {name: _group(name, one) for name, one in said.get("groups", {}).items()})


def _group(name: str, said: Any) -> Group:
    if not GROUP_NAME.fullmatch(name) or not isinstance(said, dict) or set(said) - {"routes", "requires"}:
        raise Invalid(f"The VPN group '{name[:40]}' says something unknown.", hint=HINT, reason="vpn-profile")
    requires = said.get("requires", {})
    if not isinstance(requires, dict) or set(requires) - FACTS:
        raise Invalid(f"The VPN group '{name}' requires a fact that no workstation tells.", hint=f"Known: {', '.join(sorted(FACTS))}.")
    return Group(tuple(_network(route) for route in said.get("routes", ())), requires)


def _network(text: Any) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise Invalid(f"'{str(text)[:40]}' is no network.", hint="Write an address with its length, such as 10.50.0.0/24.") from None
