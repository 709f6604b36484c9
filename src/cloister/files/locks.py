"""Locks that hold between all mounts of one storage: fcntl(2) open file description locks on an empty file beside the document.

Each owner of a lock has a descriptor of its own there, so that the kernel (of this machine, or of the NFS server) keeps owners apart.
flock(2) and POSIX locks stand in different bytes: as on Linux, they do not see each other.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import os
import struct
import threading
import time
from dataclasses import dataclass
from typing import Final

from cloister.files.tree import Node, Tree, parent_of
from cloister.zones import algorithms

FOLDER: Final = ".locks"
OFD_GETLK, OFD_SETLK = 36, 37
_PADDED: Final = struct.Struct("=hh4xqqi4x")  # struct flock on 64-bit Linux: type whence start length pid
END: Final = (1 << 63) - 1
FLOCK_BYTE: Final = 1 << 62  # far behind every document
TRY_AGAIN_SECONDS: Final = 0.02
INTERRUPTS: Final = errno.EINTR


@dataclass(frozen=True, slots=True)
class Wanted:
    owner: int
    start: int
    end: int  # inclusive
    kind: int  # F_RDLCK, F_WRLCK, F_UNLCK
    pid: int
    flock: bool

    def packed(self) -> bytes:
        start, length = (FLOCK_BYTE, 1) if self.flock else (self.start, 0 if self.end >= END else self.end - self.start + 1)
        return _PADDED.pack(self.kind, os.SEEK_SET, start, length, 0)


class Locks:
    """The locks of one mount."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._fds: dict[tuple[bytes, int], int] = {}
        self.waiting: set[int] = set()  # requests that wait for a lock

    def _file(self, node: Node) -> bytes:
        return algorithms.sha256(self._tree.folder(parent_of(node)).id + node.siv)[:15]

    def _fd(self, node: Node, owner: int) -> int:
        key = (self._file(node), owner)
        with self._lock:
            fd = self._fds.get(key)
            if fd is None:
                root = self._tree.folder(self._tree.root).fd
                with contextlib.suppress(FileExistsError):
                    os.mkdir(FOLDER, 0o700, dir_fd=root)
                name = f"{FOLDER}/{base64.urlsafe_b64encode(key[0]).decode()}"
                fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=root)
                self._fds[key] = fd
            return fd

    def take(self, node: Node, wanted: Wanted) -> bool:
        return self._take(self._fd(node, wanted.owner), wanted)

    def _take(self, fd: int, wanted: Wanted) -> bool:
        try:
            fcntl.fcntl(fd, OFD_SETLK, wanted.packed())
        except OSError as refused:
            if refused.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def wait(self, unique: int, node: Node, wanted: Wanted) -> bytes | int:
        """Runs outside the loop: asks again and again, because the kernel's own waiting could not be interrupted."""
        fd = self._fds[(self._file(node), wanted.owner)]
        while unique in self.waiting:
            if self._take(fd, wanted):
                self.waiting.discard(unique)
                return b""
            time.sleep(TRY_AGAIN_SECONDS)
        return INTERRUPTS

    def conflict(self, node: Node, wanted: Wanted) -> tuple[int, int, int, int]:
        """(start, end, kind, pid) of a lock in the way, or F_UNLCK."""
        found = fcntl.fcntl(self._fd(node, wanted.owner), OFD_GETLK, wanted.packed())
        kind, _, start, length, _ = _PADDED.unpack(found)
        return start, END if length == 0 else start + length - 1, kind, 0

    def drop(self, node: Node, owner: int, *, flock: bool) -> None:
        """At close(2) of a POSIX lock's owner, or at the last close of a flock(2)'s."""
        key = (self._file(node), owner)
        with self._lock:
            fd = self._fds.get(key) if not flock else self._fds.pop(key, None)
        if fd is None:
            return
        if flock:
            os.close(fd)
            return
        self._take(fd, Wanted(owner, 0, END, fcntl.F_UNLCK, 0, flock=False))
