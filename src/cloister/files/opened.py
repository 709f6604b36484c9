"""Requests about open files: open, read, write, save, and their attributes. <linux/fuse.h>; POSIX.1-2024.

The kernel's page cache is kept for a version that was not replaced since it was read; what is written goes straight through
(no writeback cache), because other mounts of the same storage write too.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import Final

from cloister.files import protocol
from cloister.files.connection import Answer, Handler, Request
from cloister.files.content import InPlace, Version
from cloister.files.locks import Locks, Wanted
from cloister.files.names import Names, valid_seconds
from cloister.files.reading import LONG_BYTES, Readers
from cloister.files.saving import Saver, is_in_place
from cloister.files.tree import Node, Tree, parent_of
from cloister.zones import Forged, files

WRITES: Final = os.O_WRONLY | os.O_RDWR
NAME_MAX: Final = 255
UTIME_NOW: Final = (1 << 30) - 1
NOBODY: Final[frozenset[int]] = frozenset()


class Handle:
    """One open(2)."""

    __slots__ = ("node", "owners", "writes")

    def __init__(self, node: Node, flags: int) -> None:
        self.node = node
        self.writes = bool(flags & WRITES)
        self.owners: frozenset[int] = NOBODY  # of locks


class Opened:
    """The file half of a mounted zone."""

    def __init__(self, tree: Tree, saver: Saver, names: Names, locks: Locks) -> None:
        self._tree = tree
        self._saver = saver
        self._names = names
        self._locks = locks
        self._handles: dict[int, Handle] = {}
        self._next = 1
        self._readers: Readers | None = None
        self._out = memoryview(bytearray(protocol.REQUEST_BYTES_MAX))

    def handlers(self) -> dict[int, Handler]:
        return {
            protocol.OPEN: self.open, protocol.CREATE: self.create, protocol.READ: self.read, protocol.WRITE: self.write,
            protocol.FLUSH: self.flush, protocol.RELEASE: self.release, protocol.FSYNC: self.fsync, protocol.GETATTR: self.getattr,
            protocol.SETATTR: self.setattr, protocol.STATFS: self.statfs, protocol.GETLK: self.getlk, protocol.SETLK: self.setlk,
            protocol.SETLKW: self.setlkw, protocol.INTERRUPT: self.interrupt,
        }  # fmt: skip

    # --- opening ----------------------------------------------------------------------------------------

    def _handle(self, node: Node, flags: int) -> int:
        number, self._next = self._next, self._next + 1
        self._handles[number] = Handle(node, flags)
        node.handles += 1
        return number

    def open(self, request: Request) -> Answer:
        flags, _ = protocol.OPEN_IN.unpack_from(request.body)
        node = self._tree.node(request.node)
        how = self._opened(node, flags)
        return protocol.OPEN_OUT.pack(self._handle(node, flags), how, 0)

    def _opened(self, node: Node, flags: int) -> int:
        """The flags of the answer; the content is open afterwards."""
        writes = flags & WRITES
        if writes:
            self._names.writable()
        if node.draft is not None:
            if writes and flags & os.O_TRUNC:
                self._saver.begin(node, empty=True)
            return protocol.FOPEN_KEEP_CACHE if not writes else 0
        try:
            version, same = self._saver.current(node)
        except Forged:
            if not (writes and flags & os.O_TRUNC):
                raise
            raise OSError(errno.EIO, "Input/output error") from None
        if isinstance(version, InPlace):
            if writes and flags & os.O_TRUNC:
                version.truncate(0)
            return protocol.FOPEN_DIRECT_IO
        if writes:
            if flags & os.O_TRUNC:
                self._saver.begin_next(node, version, empty=True)
            return 0
        return protocol.FOPEN_NOFLUSH | (protocol.FOPEN_KEEP_CACHE if same else 0)

    def create(self, request: Request) -> Answer:
        flags, mode, umask, _ = protocol.CREATE_IN.unpack_from(request.body)
        self._names.writable()
        parent, name = self._tree.node(request.node), bytes(request.body[protocol.CREATE_IN.size : -1])
        node, how = self._names.found(parent, name), 0
        if node is not None:
            if flags & os.O_EXCL:
                return errno.EEXIST
            how = self._opened(node, flags)
        else:
            siv, stored = self._tree.folder(parent).name(name)
            node = self._tree.child(parent, name, siv, stored, stat.S_IFREG)
            mode, owner = mode & ~umask & 0o7777, (request.uid, request.gid)
            if is_in_place(name):
                self._saver.make_in_place(node, mode, owner, fresh=bool(flags & os.O_EXCL))
                how = protocol.FOPEN_DIRECT_IO
            else:
                self._saver.begin_new(node, mode, owner)
        return self._names.entry(node) + protocol.OPEN_OUT.pack(self._handle(node, flags), how, 0)

    # --- content ----------------------------------------------------------------------------------------

    def read(self, request: Request) -> Answer:
        number, offset, size, *_ = protocol.READ_IN.unpack_from(request.body)
        node = self._handles[number].node
        content = node.draft or node.version
        if content is None:
            content, _ = self._saver.current(node)
        if size >= LONG_BYTES and isinstance(content, Version):
            if self._readers is None:
                self._readers = Readers(request.connection)
            self._readers.read(request.unique, content, offset, size)
            return None
        return self._out[: content.read_into(offset, self._out[:size])]

    def write(self, request: Request) -> Answer:
        number, offset, size, _, _, flags, _ = protocol.WRITE_IN.unpack_from(request.body)
        node = self._handles[number].node
        data = request.body[protocol.WRITE_IN.size : protocol.WRITE_IN.size + size]
        draft = node.draft
        if draft is None:
            if isinstance(node.version, InPlace):
                node.version.write(node.version.size if flags & os.O_APPEND else offset, data)
                return protocol.WRITE_OUT.pack(size, 0)
            draft = self._saver.begin(node, empty=False)
        draft.write(draft.size if flags & os.O_APPEND else offset, data)
        node.dirty = True
        return protocol.WRITE_OUT.pack(size, 0)

    def flush(self, request: Request) -> Answer:
        """close(2): what was written becomes the version, and an error is still heard."""
        number, _, _, owner = protocol.FLUSH_IN.unpack_from(request.body)
        handle = self._handles[number]
        if handle.owners:
            self._locks.drop(handle.node, owner, flock=False)
        if handle.writes:
            self._saver.save(handle.node)
        return b""

    def release(self, request: Request) -> Answer:
        number, _, release_flags, owner = protocol.RELEASE_IN.unpack_from(request.body)
        handle = self._handles.pop(number, None)
        if handle is None:
            return b""
        node = handle.node
        for one in handle.owners:
            self._locks.drop(node, one, flock=True)
        node.handles -= 1
        if node.handles == 0:
            if node.gone and node.draft is not None:
                node.draft.discard()
                node.draft = None
            try:
                self._saver.save(node)
            finally:
                node.base = files.ABSENT
            self._tree.release(node)
        return b""

    def fsync(self, request: Request) -> Answer:
        number, _, _ = protocol.FSYNC_IN.unpack_from(request.body)
        node = self._handles[number].node
        if isinstance(node.version, InPlace) and node.draft is None:
            fd = os.dup(node.version.fd)
            request.connection.later(request, lambda: _synced(fd), protocol.FSYNC)
            return None
        self._saver.save(node, sync=True)
        return b""

    # --- attributes -------------------------------------------------------------------------------------

    def getattr(self, request: Request) -> Answer:
        return self._attributes(self._tree.node(request.node))

    def _attributes(self, node: Node) -> bytes:
        return protocol.ATTR_OUT.pack(valid_seconds(node), 0, 0) + self._names.attributes(node)

    def setattr(self, request: Request) -> Answer:
        valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _ = protocol.SETATTR_IN.unpack_from(request.body)
        node = self._tree.node(request.node)
        self._names.writable()
        if valid & protocol.FATTR_SIZE:
            self._resize(node, size)
        if valid & (protocol.FATTR_MODE | protocol.FATTR_UID | protocol.FATTR_GID):
            self._own(node, mode & 0o7777 if valid & protocol.FATTR_MODE else None, uid if valid & 2 else -1, gid if valid & 4 else -1)
        if valid & (protocol.FATTR_ATIME | protocol.FATTR_MTIME):
            now = time.time_ns()
            found_atime = now if valid & protocol.FATTR_ATIME_NOW else atime * 10**9 + atime_ns
            found_mtime = now if valid & protocol.FATTR_MTIME_NOW else mtime * 10**9 + mtime_ns
            self._date(node, found_atime if valid & protocol.FATTR_ATIME else None, found_mtime if valid & protocol.FATTR_MTIME else None)
        return self._attributes(node)

    def _resize(self, node: Node, size: int) -> None:
        if node.draft is None:
            version, _ = self._saver.current(node)
            if isinstance(version, InPlace):
                version.truncate(size)
                return
            if version.size == size:
                return
        draft = self._saver.begin(node, empty=size == 0)
        draft.truncate(size)
        if not node.handles:  # truncate(2) by name: nobody will close it
            self._saver.save(node)

    def _own(self, node: Node, mode: int | None, uid: int, gid: int) -> None:
        if node.draft is not None:
            node.mode = node.mode if mode is None else mode
            node.owner = (node.owner[0] if uid < 0 else uid, node.owner[1] if gid < 0 else gid)
            return
        path, dir_fd = self._place(node)
        if node.kind == stat.S_IFLNK:
            return
        if uid >= 0 or gid >= 0:
            os.chown(path, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
        if mode is not None:
            os.chmod(path, mode, dir_fd=dir_fd)

    def _date(self, node: Node, atime: int | None, mtime: int | None) -> None:
        if node.draft is not None:
            now = node.draft.changed_ns
            before = node.times or (now, now)
            node.times = (before[0] if atime is None else atime, before[1] if mtime is None else mtime)
            return
        path, dir_fd = self._place(node)
        found = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        times = (found.st_atime_ns if atime is None else atime, found.st_mtime_ns if mtime is None else mtime)
        os.utime(path, ns=times, dir_fd=dir_fd, follow_symlinks=False)

    def _place(self, node: Node) -> tuple[str, int]:
        if node is self._tree.root:
            return ".", self._tree.folder(node).fd
        return node.stored, self._tree.folder(parent_of(node)).fd

    def statfs(self, request: Request) -> Answer:
        found = os.fstatvfs(self._tree.folder(self._tree.root).fd)
        return protocol.STATFS_OUT.pack(
            found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree, found.f_bsize, NAME_MAX, found.f_frsize, 0
        )

    # --- locks ------------------------------------------------------------------------------------------

    def _wanted(self, request: Request) -> tuple[Node, Wanted]:
        number, owner, start, end, kind, pid, flags, _ = protocol.LK_IN.unpack_from(request.body)
        handle = self._handles[number]
        handle.owners |= {owner}
        return handle.node, Wanted(owner, start, end, kind, pid, flock=bool(flags & protocol.LK_FLOCK))

    def getlk(self, request: Request) -> Answer:
        return protocol.LK_OUT.pack(*self._locks.conflict(*self._wanted(request)))

    def setlk(self, request: Request) -> Answer:
        return b"" if self._locks.take(*self._wanted(request)) else errno.EAGAIN

    def setlkw(self, request: Request) -> Answer:
        """Waits in another thread, so that everybody else goes on."""
        node, wanted = self._wanted(request)
        if self._locks.take(node, wanted):
            return b""
        unique = request.unique
        self._locks.waiting.add(unique)
        request.connection.later(request, lambda: self._locks.wait(unique, node, wanted), protocol.SETLKW)
        return None

    def interrupt(self, request: Request) -> Answer:
        self._locks.waiting.discard(protocol.NUMBER.unpack_from(request.body)[0])
        return None

    def save_all(self) -> None:
        """At the end of the mount: what was written and never closed."""
        for node in self._tree.drafts():
            self._saver.save(node)


def _synced(fd: int) -> bytes:
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return b""
