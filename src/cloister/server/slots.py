"""Slots: the UNIX sockets by which Envoy reaches sessions. Named once to Envoy, bound anew for each session.

With root: slots/N.sock is 0660 session:edge in a folder that only root writes and only the edge enters;
control/N.sock, by which the agent speaks to the session, is in a folder of root alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Busy
from cloister.base.process import is_root

FIRST_SESSION_UID: Final = 210_000
BACKLOG: Final = 256


@dataclass(frozen=True, slots=True)
class Listeners:
    """A slot's two sockets, bound and listening; closed here once the session has them."""

    slot: socket.socket
    control: socket.socket

    def close(self) -> None:
        self.slot.close()
        self.control.close()


class Slots:
    """Which slots are free. The one free for longest comes first, so that a slot and its user id are not reused at once."""

    def __init__(self, runtime: Path, count: int, edge_gid: int) -> None:
        self._runtime = runtime
        self._edge_gid = edge_gid
        self._free = deque(range(count))
        self.count = count

    def prepare(self) -> None:
        """Make the folders."""
        for name, mode, gid in (("slots", 0o710, self._edge_gid), ("control", 0o700, -1), ("sessions", 0o700, -1), ("programs", 0o711, -1)):
            folder = self._runtime / name
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_root():
                os.chown(folder, 0, gid if gid >= 0 else 0)
            folder.chmod(mode)

    def keep(self, taken: Iterable[int]) -> None:
        """These are taken; of the others, remove what an agent before left."""
        used = set(taken)
        self._free = deque(n for n in range(self.count) if n not in used)
        for folder in (self._runtime / "slots", self._runtime / "control"):
            for path in folder.glob("*.sock"):
                if not path.stem.isdigit() or int(path.stem) not in used:
                    path.unlink(missing_ok=True)

    @property
    def free(self) -> int:
        return len(self._free)

    def take(self) -> int:
        if not self._free:
            raise Busy(f"All {self.count} session slots of this server are taken.", hint="Set CLOISTER_SLOTS higher.", reason="slots")
        return self._free.popleft()

    def give_back(self, slot: int) -> None:
        """Only after the slot's process is dead: a live one would go on answering on connections that Envoy keeps."""
        for path in (self.path(slot), self.control_path(slot)):
            with contextlib.suppress(OSError):
                path.unlink()
        self._free.append(slot)

    def path(self, slot: int) -> Path:
        return self._runtime / "slots" / f"{slot}.sock"

    def control_path(self, slot: int) -> Path:
        return self._runtime / "control" / f"{slot}.sock"

    def account(self, slot: int) -> tuple[int, int]:
        """The user and group id of the slot's session."""
        if is_root():
            return FIRST_SESSION_UID + slot, FIRST_SESSION_UID + slot
        return os.geteuid(), os.getegid()

    def bind(self, slot: int) -> Listeners:
        uid, _ = self.account(slot)
        listeners = Listeners(_bound(self.path(slot)), _bound(self.control_path(slot)))
        if is_root():
            os.chown(self.path(slot), uid, self._edge_gid)
        self.path(slot).chmod(0o660)
        self.control_path(slot).chmod(0o600)
        for listener in (listeners.slot, listeners.control):
            listener.listen(BACKLOG)
        return listeners


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    return listener
