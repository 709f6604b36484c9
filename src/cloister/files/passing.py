"""The keys of a zone's files on their way from the session to the process that mounts, sealed to it. Spec: docs/spec/zones.md 27.5."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.base.secret import Secret
from cloister.zones import algorithms, files

LABEL: Final = "cloister/files-keys/v1"


@dataclass(frozen=True, slots=True)
class Passed:
    """What a mounting process got: keys, and until when they may be used."""

    keys: files.FileKeys
    name: str  # of the zone
    live_until: datetime


class Receiver:
    """The mounting process's half: a fresh HPKE key pair."""

    def __init__(self) -> None:
        self._private = algorithms.KemPrivate(algorithms.random(algorithms.KEY_BYTES))
        self.public = self._private.public

    def opened(self, sealed: bytes, *, zone: str, session: str) -> Passed:
        body = json.loads(self._private.open(sealed, _info(zone, session)))
        epochs = {int(number): Secret(base64.b64decode(key)) for number, key in body["epochs"].items()}
        keys = files.FileKeys(body["trust"], body["zone"], epochs, writes=bool(body["writes"]))
        return Passed(keys, body["name"], datetime.fromisoformat(body["live_until"]))


def sealed(public: bytes, keys: files.FileKeys, *, name: str, live_until: datetime, writes: bool, session: str) -> bytes:
    """For the holder of `public` alone. Whoever carries it reads nothing."""
    if len(public) != algorithms.KEM_PUBLIC_BYTES:
        raise Invalid("This is not a public key.", hint="Use the same version of Cloister on both sides.", reason="public-key")
    body: dict[str, Any] = {
        "trust": keys.trust,
        "zone": keys.zone,
        "name": name,
        "live_until": live_until.isoformat(),
        "writes": writes and keys.writes,
        "epochs": {str(number): base64.b64encode(key).decode() for number, key in keys.revealed().items()},
    }
    return algorithms.kem_seal(public, json.dumps(body).encode(), _info(keys.zone, session))


def _info(zone: str, session: str) -> bytes:
    return f"{LABEL}|{session}|{zone}".encode()
