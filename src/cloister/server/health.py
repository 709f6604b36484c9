"""What an agent says of its server's health: facts, no judgement (farm.maintenance judges). No names, no paths."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from cloister.base.process import start_time

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Health:
    """`folder`: on the file system that sessions need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spawns_failed = 0
        self._zygote_seen = time.monotonic()
        # A new agent on the same kernel is a new instance, too: what it runs may have changed.
        self.instance = f"{BOOT_ID.read_text().strip()}:{start_time(os.getpid())}"

    def spawned(self, well: bool) -> None:
        """How the last start of a session went, where it was up to this server."""
        self._spawns_failed = 0 if well else self._spawns_failed + 1

    def facts(self, *, zygote: bool, gate_away: float) -> dict[str, Any]:
        now = time.monotonic()
        if zygote:
            self._zygote_seen = now
        disk = os.statvfs(self._folder)
        return {
            "spawns_failed": self._spawns_failed,
            "disk_free": round(disk.f_bavail / disk.f_blocks, 3) if disk.f_blocks else 1.0,
            "gate_away": round(gate_away, 1),
            "zygote_away": round(now - self._zygote_seen, 1),
        }
