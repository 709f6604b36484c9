"""What a program wants told to an address outside: sealed to the delivery process, so that nobody else reads address or headers.

Spec: docs/spec/zones.md 29. A header is bound to its owner and address: moved to another one, it does not open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from cloister.zones import algorithms
from cloister.zones.algorithms import KemPrivate
from cloister.zones.refusals import Forged, Refusal

_CHANNEL: Final = b"cloister/channel/v1"
_HEADER: Final = b"cloister/header/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where a subscription's notifications go. `headers` are sealed one by one, as they stand in the resource."""

    subscription: str  # the resource's id
    owner: str  # the program's person id
    endpoint: str
    headers: tuple[tuple[str, bytes], ...]  # name, sealed value

    def sealed(self, public: bytes, place: bytes) -> bytes:
        """`place` says which row it is for: the dossier's and the resource's 16 bytes."""
        body = {
            "subscription": self.subscription,
            "owner": self.owner,
            "endpoint": self.endpoint,
            "headers": [[name, value.hex()] for name, value in self.headers],
        }
        return algorithms.kem_seal(public, json.dumps(body).encode(), _CHANNEL + place)


def seal_header(public: bytes, owner: str, endpoint: str, name: str, value: str) -> bytes:
    return algorithms.kem_seal(public, value.encode(), _header_info(owner, endpoint, name))


def open_channel(key: KemPrivate, place: bytes, sealed: bytes) -> tuple[Channel, list[tuple[str, str]]]:
    """The channel, and its headers in clear; Forged for what was not sealed for this row, owner and address."""
    try:
        body = json.loads(key.open(sealed, _CHANNEL + place))
        headers = tuple((str(name), bytes.fromhex(value)) for name, value in body["headers"])
        found = Channel(subscription=body["subscription"], owner=body["owner"], endpoint=body["endpoint"], headers=headers)
    except (ValueError, KeyError, TypeError):
        raise Forged(Refusal.MALFORMED) from None
    opened = [(name, key.open(value, _header_info(found.owner, found.endpoint, name)).decode()) for name, value in headers]
    return found, opened


def _header_info(owner: str, endpoint: str, name: str) -> bytes:
    return b"|".join((_HEADER, owner.encode(), name.lower().encode(), endpoint.encode()))
