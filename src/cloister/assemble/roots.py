"""The trust's two public roots and its audit log's keys, pinned in a file of this server: the database may not say whom to believe."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloister.base.errors import Corrupt
from cloister.base.settings import Settings
from cloister.zones import TrustRoots, audit_keys


def roots_file(settings: Settings) -> Path:
    return settings.state / "public" / "trust.json"


def pinned_roots(settings: Settings) -> TrustRoots:
    """The trust's roots from this server's own file: roots that the database offered would prove nothing."""
    body = _pinned(settings)
    pin = audit_keys.AuditPin(_hex(settings, body, "audit"), timedelta(seconds=settings.checkpoint_age_seconds))
    return TrustRoots(body["trust"], _hex(settings, body, "certificate_root"), _hex(settings, body, "access_root"), pin)


def audit_key(settings: Settings) -> bytes:
    return _hex(settings, _pinned(settings), "audit")


def audit_key_ml_dsa(settings: Settings) -> bytes:
    return _hex(settings, _pinned(settings), "audit_ml_dsa")


def _pinned(settings: Settings) -> dict[str, Any]:
    try:
        body = json.loads(roots_file(settings).read_text())
        if isinstance(body, dict) and isinstance(body.get("trust"), str):
            return body
    except (OSError, ValueError) as wrong:
        raise _unreadable(settings) from wrong
    raise _unreadable(settings)


def _hex(settings: Settings, body: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(body[name])
    except (KeyError, TypeError, ValueError) as wrong:
        raise _unreadable(settings) from wrong


def _unreadable(settings: Settings) -> Corrupt:
    return Corrupt(f"The trust's roots cannot be read from {roots_file(settings)}.", hint="Restore the file from a backup.")
