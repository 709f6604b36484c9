"""Where a name may lead. Decided on the resolved address that is then connected to, so that no second look-up can differ.

Without networks of the operator's only public addresses: nothing in this house is reached by a name that a subscriber chose.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Prefixes that carry an IPv4 address to a translator: NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), Teredo (RFC 4380).
TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class Refused(Exception):
    """An attempt that ended without a notification taken; the text is safe to show."""

    def __init__(self, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.gone = gone  # the receiver wants no more (HTTP 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One line of the operator's list."""

    host: str
    port: int
    networks: tuple[Network, ...]
    authority: str  # PEM; empty: the system's authorities


def permitted(text: str, networks: Sequence[Network]) -> bool:
    """Whether a notification may be sent to this resolved address."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if networks:
        return any(address in network for network in networks if network.version == address.version)
    if any(address in network for network in TRANSLATED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def chosen(found: Sequence[str], host: Host) -> str:
    """The address to connect to; Refused when the name leads to none that is permitted."""
    for text in found:
        if permitted(text, host.networks):
            return text
    raise Refused(f"{host.host} leads to no address that may be sent to.")
