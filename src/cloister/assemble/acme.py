"""The gateway's certificate from an authority that speaks ACME: what is kept of it, and when the next is due. docs/gateway.md.

The order itself is another process (acme_order.py), so that what speaks with a stranger is not the one that runs everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cloister.assemble.folders import log_tail, write_once
from cloister.assemble.supervisor import Supervisor, ending
from cloister.base.settings import Settings
from cloister.zones import certificates

LEFT_MIN: Final = 1 / 3  # of its life: then the next is asked for
AGAIN_SECONDS: Final = 600.0  # after a failure: authorities count them


def paths(settings: Settings) -> tuple[Path, Path, Path]:
    """Key, chain, and what is known of them."""
    key, chain, about = (settings.secrets_folder / f"acme-server.{suffix}" for suffix in ("key", "pem", "json"))
    return key, chain, about


def keep(settings: Settings, key: bytes, chain: bytes) -> None:
    """Each file whole; `about` last, because it says that the others are there."""
    begins, ends = certificates.tls_life(chain)
    about = {"host": settings.host, "directory": settings.acme_directory, "begins": begins.isoformat(), "ends": ends.isoformat()}
    for path, content in zip(paths(settings), (key, chain, json.dumps(about).encode()), strict=True):
        fresh = path.with_name(f"{path.name}.next")
        fresh.unlink(missing_ok=True)
        write_once(fresh, content)
        os.replace(fresh, path)


def kept(settings: Settings) -> tuple[bytes, bytes] | None:
    """Key and chain, while they are valid and of this name and authority."""
    life = _life(settings)
    if life is None or datetime.now(UTC) >= life[1]:
        return None
    key, chain, _ = paths(settings)
    return key.read_bytes(), chain.read_bytes()


def due(settings: Settings, *, now: datetime) -> bool:
    """Whether another must be asked for: there is none, or two thirds of its life are over."""
    life = _life(settings)
    return life is None or (life[1] - now) < (life[1] - life[0]) * LEFT_MIN


def _life(settings: Settings) -> tuple[datetime, datetime] | None:
    try:
        about: dict[str, Any] = json.loads(paths(settings)[2].read_text())
        if (about["host"], about["directory"]) != (settings.host, settings.acme_directory):
            return None
        return datetime.fromisoformat(about["begins"]), datetime.fromisoformat(about["ends"])
    except (OSError, ValueError, KeyError):
        return None


@dataclass(slots=True)
class Renewing:
    """Asks when it is due, and says what came of it: looked at every few seconds."""

    settings: Settings
    supervisor: Supervisor
    tell: Callable[[str], None]
    arrived: Callable[[], None]
    _order: subprocess.Popen[bytes] | None = None
    _not_before: float = field(default=0.0)

    def look(self) -> None:
        if self._order is not None:
            self._follow(self._order)
        elif time.monotonic() >= self._not_before and due(self.settings, now=datetime.now(UTC)):
            self._order = self.supervisor.launch("acme", "cloister.assemble", "acme")

    def _follow(self, order: subprocess.Popen[bytes]) -> None:
        code = order.poll()
        if code is None:
            return
        self._order = None
        if code == 0:
            self.arrived()
            return
        self._not_before = time.monotonic() + AGAIN_SECONDS
        self.tell(f"no certificate from {self.settings.acme_directory} ({ending(code)}): {log_tail(self.settings, 'acme', 1)[-300:]}")
