"""Drafts made ready: where one document after the other is saved, a second thread makes the next files while the last are being sealed.

Making a file is the storage's slowest answer, and the folder is locked while it is made. These have no name yet (open(2), O_TMPFILE),
so they lock no folder, and nothing of them stays when the mount is killed. Only a folder that is being filled gets them, a few at a
time. Where the storage cannot do that (NFS), each draft is made when it is wanted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from cloister.files.folder import DRAFT, Folder
from cloister.zones import algorithms

READY: Final = 8  # in one folder
FOLDERS_READY_MAX: Final = 8
QUICK_SECONDS: Final = 0.5  # drafts that follow each other faster are a folder being filled
QUICK_DRAFTS: Final = 3
IDLE_SECONDS: Final = 2.0
DRAFT_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NAMELESS_FLAGS: Final = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Made:
    """An empty file, open: a draft."""

    stored: str
    fd: int
    mode: int


@dataclass(slots=True, eq=False)
class Filled:
    """A folder in which drafts follow each other."""

    folder: Folder
    last: float
    quick: int = 1
    mode: int = 0
    asked: bool = False
    made: deque[tuple[int, int]] = field(default_factory=deque)  # descriptors and modes of files without a name


class Ahead:
    """The drafts made ready of one mount. `take` and `drop` are the loop's; one thread makes the files."""

    def __init__(self) -> None:
        self._filled: dict[Folder, Filled] = {}
        self._asked: SimpleQueue[Filled] = SimpleQueue()
        self._lock = threading.Lock()  # held while a folder's descriptor is used by the thread
        self._thread: threading.Thread | None = None
        self._unsupported = False

    def take(self, folder: Folder, mode: int) -> Made | None:
        """One that is ready; None where none is, and then the caller makes it."""
        now = time.monotonic()
        filled = self._filled.get(folder)
        if filled is None:
            if len(self._filled) >= FOLDERS_READY_MAX:
                self.drop(min(self._filled.values(), key=lambda one: one.last).folder)
            self._filled[folder] = Filled(folder, now)
            return None
        filled.quick = filled.quick + 1 if now - filled.last < QUICK_SECONDS else 1
        filled.last, filled.mode = now, mode
        if filled.quick >= QUICK_DRAFTS and not filled.asked and len(filled.made) <= READY // 2 and not self._unsupported:
            self._ask(filled)
        try:
            fd, mode = filled.made.popleft()
        except IndexError:
            return None
        stored = draft_name()
        try:
            os.link(f"/proc/self/fd/{fd}", stored, dst_dir_fd=folder.fd)
        except OSError:  # no /proc here, or a full disk: whoever makes one himself hears of it
            os.close(fd)
            self._unsupported = True
            return None
        return Made(stored, fd, mode)

    def _ask(self, filled: Filled) -> None:
        filled.asked = True
        if self._thread is None:  # made at the first use, because a fork(2) takes no thread along
            self._thread = threading.Thread(target=self._run, daemon=True, name="files-ahead")
            self._thread.start()
        self._asked.put(filled)

    def drop(self, folder: Folder) -> None:
        """Before a folder is closed or removed: nothing of it is used afterwards."""
        with self._lock:
            filled = self._filled.pop(folder, None)
            if filled is not None:
                _let_go(filled)

    def drop_all(self) -> None:
        for folder in list(self._filled):
            self.drop(folder)

    def _run(self) -> None:
        while True:
            try:
                filled = self._asked.get(timeout=IDLE_SECONDS)
            except Empty:
                self._rest()
                continue
            try:
                while len(filled.made) < READY and self._make(filled):
                    pass
            except OSError:  # a storage that cannot, or a full disk, of which whoever saves next hears
                self._unsupported = True
            filled.asked = False

    def _make(self, filled: Filled) -> bool:
        with self._lock:
            if self._filled.get(filled.folder) is not filled:
                return False
            mode = filled.mode | 0o600
            filled.made.append((os.open(".", NAMELESS_FLAGS, mode, dir_fd=filled.folder.fd), mode))
            return True

    def _rest(self) -> None:
        """Nobody saves any more: what was made ready goes."""
        with self._lock:
            for filled in list(self._filled.values()):
                if time.monotonic() - filled.last > IDLE_SECONDS:
                    _let_go(filled)


def _let_go(filled: Filled) -> None:
    while True:
        try:
            fd, _ = filled.made.popleft()
        except IndexError:
            return
        os.close(fd)


def draft_name() -> str:
    return DRAFT + algorithms.random(9).hex()
