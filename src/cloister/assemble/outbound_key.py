"""The delivery process's key: what programs want told to addresses outside is sealed to it. docs/subscriptions.md."""

from __future__ import annotations

from typing import Final

from cloister.assemble.folders import seed_file
from cloister.base.settings import Settings
from cloister.zones import algorithms

SEED: Final = "delivery.seed"


def make_delivery_key(settings: Settings) -> None:
    """The seed among the secrets, its public half among what sessions read; made once."""
    public = algorithms.kem_public(seed_file(settings, SEED).reveal())
    path = settings.state / "public" / "delivery.key"
    if not path.exists() or path.read_bytes() != public:
        path.write_bytes(public)
        path.chmod(0o644)


def delivery_key(settings: Settings) -> bytes:
    """The public half; empty where nothing can be sent."""
    path = settings.state / "public" / "delivery.key"
    return path.read_bytes() if path.exists() else b""
