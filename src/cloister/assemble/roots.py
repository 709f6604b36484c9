"""The trust's two public roots, pinned in a file of this server: the database may not say whom to believe."""

from __future__ import annotations

import json
from pathlib import Path

from cloister.base.errors import Corrupt
from cloister.base.settings import Settings
from cloister.zones import TrustRoots


def roots_file(settings: Settings) -> Path:
    return settings.state / "public" / "trust.json"


def pinned_roots(settings: Settings) -> TrustRoots:
    """The trust's roots from this server's own file: roots that the database offered would prove nothing."""
    try:
        body = json.loads(roots_file(settings).read_text())
        return TrustRoots(body["trust"], bytes.fromhex(body["certificate_root"]), bytes.fromhex(body["access_root"]))
    except (OSError, ValueError, KeyError) as wrong:
        raise Corrupt(f"The trust's roots cannot be read from {roots_file(settings)}.", hint="Restore the file from a backup.") from wrong
