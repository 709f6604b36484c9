"""Where somebody is and how well they have proved themselves: what a trust's rules are asked about besides role and action.

A place is found by the address alone, and the address comes from the edge (gateway, headers.py), never from the client.
"""

from __future__ import annotations

import csv
import io
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cloister.base.errors import Invalid

INSIDE, SITE, HOME, ABROAD = "inside", "site", "home", "abroad"
PLACES: Final = (INSIDE, SITE, HOME, ABROAD)
ELSEWHERE: Final = "*"  # the row for whatever no other row names
NETWORKS_MAX: Final = 5000
NAME_CHARACTERS_MAX: Final = 80
COLUMNS: Final = ("network", "place", "name")

Address = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One person's circumstances in one request. `minutes` since the last proof of a factor; `aal` as in NIST SP 800-63B."""

    place: str = ABROAD
    site: str = ""
    aal: int = 1
    minutes: int = 0
    factors: frozenset[str] = frozenset()
    application: str = "desk"
    address: str = ""  # for whoever asks later why; no rule is asked about it
    account: str = "none"  # at the directory: none, enabled, disabled, away


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A row: addresses, the place that they are, and a name that people know it by."""

    network: str
    place: str
    name: str


class Networks:
    """The rows of a policy; the longest prefix wins, and what no row names is abroad."""

    def __init__(self, rows: Iterable[Network]) -> None:
        self.rows = tuple(rows)
        if len(self.rows) > NETWORKS_MAX:
            raise Invalid(f"More than {NETWORKS_MAX} networks.", hint="Write larger ones.", reason="networks")
        self._otherwise = (ABROAD, "")
        self._found: list[tuple[Address, str, str]] = []
        for number, row in enumerate(self.rows, start=2):
            if row.place not in PLACES or len(row.name) > NAME_CHARACTERS_MAX:
                raise Invalid(
                    f"Line {number} of the networks names no place.", hint=f"Write one of {', '.join(PLACES)}.", reason="networks"
                )
            if row.network == ELSEWHERE:
                self._otherwise = (row.place, row.name)
                continue
            try:
                self._found.append((ipaddress.ip_network(row.network), row.place, row.name))
            except ValueError:
                text = f"Line {number} of the networks: '{row.network[:60]}' is no network."
                raise Invalid(text, hint="Write 10.0.0.0/8, 2001:db8::/32, or * for all others.", reason="networks") from None
        self._found.sort(key=lambda one: -one[0].prefixlen)
        self.of = lru_cache(maxsize=4096)(self._of)  # one for each policy: a new policy begins anew

    def _of(self, address: str) -> tuple[str, str]:
        """(place, name) of an address; what is no address is abroad."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return ABROAD, ""
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        for network, place, name in self._found:
            if parsed.version == network.version and parsed in network:
                return place, name
        return self._otherwise


def read_networks(text: str) -> Networks:
    """CSV (RFC 4180) with the columns network, place, name."""
    rows = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True)
    try:
        if tuple(name.strip() for name in rows.fieldnames or ()) != COLUMNS:
            raise Invalid(f"The networks' first line must be: {','.join(COLUMNS)}.", hint="See docs/policies.md.", reason="networks")
        read = [{name: (row.get(name) or "").strip() for name in COLUMNS} for row in rows]
    except csv.Error as wrong:
        raise Invalid(
            "The networks are no table of comma-separated values.", hint=f"Near line {rows.line_num}.", reason="networks"
        ) from wrong
    return Networks(Network(**row) for row in read)
