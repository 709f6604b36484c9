"""The agent's memory outside itself: one small file a live session, so that a restarted agent finds its sessions again.

A process is named by its number and its start time, so a recycled number is never taken for a session.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cloister.base.process import start_time
from cloister.base.telemetry import log


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    session: str
    person: str
    role: str
    kind: str
    label: str
    slot: int
    uid: int
    pid: int
    started: int  # clock ticks since boot
    epoch: int
    began: float = 0.0  # seconds since 1970
    limits: dict[str, Any] = field(default_factory=dict)  # what the agent holds it to, by name as in an assignment


class Register:
    def __init__(self, runtime: Path) -> None:
        self._folder = runtime / "sessions"

    def write(self, record: SessionRecord) -> None:
        """Whole or not at all: a half-written file would lose a live session."""
        fresh = self._folder / f".{record.slot}.new"
        fresh.write_text(json.dumps(asdict(record)))
        os.replace(fresh, self._folder / f"{record.slot}.json")

    def remove(self, slot: int) -> None:
        (self._folder / f"{slot}.json").unlink(missing_ok=True)

    def read_live(self) -> list[tuple[SessionRecord, int]]:
        """The sessions that still live, each with a pidfd; files of dead ones are removed."""
        live = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = SessionRecord(**json.loads(path.read_text()))
                pidfd = os.pidfd_open(record.pid)
            except (OSError, ValueError, TypeError):
                path.unlink(missing_ok=True)
                continue
            if start_time(record.pid) != record.started:  # checked with the pidfd in hand, so the answer stays true
                os.close(pidfd)
                path.unlink(missing_ok=True)
                continue
            live.append((record, pidfd))
        log("agent.register", live=len(live))
        return live
