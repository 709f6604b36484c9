"""One folder on the storage: its journal, and the rule that a file must be what the journal says. Spec: docs/spec/zones.md 27.3.

Everything goes through the descriptor of the folder (openat(2) and its kin), so that a folder that is moved meanwhile
is still the same one. Symbolic links on the storage are never followed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from typing import Final

from cloister.base.errors import Conflict
from cloister.files.journal import JOURNAL, NEXT_JOURNAL, Journal, Line
from cloister.zones import Forged, Refusal, algorithms, files

VERSIONS: Final = ".versions"
DRAFT: Final = ".draft-"
LONG_SUFFIX: Final = ".name"
NAMES_HELD_MAX: Final = 1024  # sealed names of one folder in memory: most are asked for again at once
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_TAG_END: Final = 36 + files.TAG_BYTES  # where the commitment stands in a document's header


class Folder:
    """A folder of the zone, open."""

    __slots__ = ("_depth", "_names", "fd", "journal", "keys")

    def __init__(self, keys: files.FileKeys, fd: int, *, seen: int = 0) -> None:
        self.keys = keys
        self.fd = fd
        self._depth = 0
        self._names: dict[bytes, tuple[bytes, str]] = {}
        self.journal = Journal(keys, os.open(JOURNAL, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd), seen=seen)

    @classmethod
    def make(cls, keys: files.FileKeys, fd: int) -> Folder:
        """The journal of a new, empty folder; whole or not there."""
        write_whole(NEXT_JOURNAL, keys.new_folder(), fd)
        os.rename(NEXT_JOURNAL, JOURNAL, src_dir_fd=fd, dst_dir_fd=fd)
        return cls(keys, fd)

    @property
    def id(self) -> bytes:
        return self.journal.folder.folder

    def close(self) -> None:
        os.close(self.journal.fd)
        os.close(self.fd)

    # --- names ----------------------------------------------------------------------------------------

    def name(self, plain: bytes) -> tuple[bytes, str]:
        """(the name in the journal, the file's name on the storage)."""
        known = self._names.get(plain)
        if known is None:
            sealed = self.journal.folder.seal_name(plain)
            known = sealed[:16], files.stored_name(sealed)
            if len(self._names) >= NAMES_HELD_MAX:
                self._names.clear()
            self._names[plain] = known
        return known

    def plain(self, stored: str) -> tuple[bytes, bytes]:
        """(the name in the journal, the name as people know it); Forged when it is nobody's."""
        if stored.startswith(files.LONG_NAME):
            with contextlib.closing(Descriptor(os.open(stored + LONG_SUFFIX, FILE_FLAGS, dir_fd=self.fd))) as file:
                sealed = os.pread(file.fd, 4096, 0)
            if files.stored_name(sealed) != stored:
                raise Forged(Refusal.SWAPPED)
        else:
            sealed = files.sealed_name(stored)
        return sealed[:16], self.journal.folder.open_name(sealed)

    def note_long(self, plain: bytes, stored: str) -> None:
        """Keep the name of a file whose sealed name is too long for the storage."""
        if stored.startswith(files.LONG_NAME):
            with contextlib.suppress(FileExistsError):
                write_whole(stored + LONG_SUFFIX, self.journal.folder.seal_name(plain), self.fd)

    def forget_long(self, stored: str) -> None:
        if stored.startswith(files.LONG_NAME):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(stored + LONG_SUFFIX, dir_fd=self.fd)

    # --- what must stand under a name -------------------------------------------------------------------

    def refresh(self) -> Journal:
        """The journal as it is now; one system call when nothing has changed."""
        found = os.fstat(self.journal.fd)
        if found.st_size != self.journal.size:
            self.journal.refresh(found.st_size)
        if not found.st_nlink:
            self._reopen()
        return self.journal

    def _reopen(self) -> None:
        seen, old = self.journal.count, self.journal.fd
        try:
            fd = os.open(JOURNAL, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            raise Forged(Refusal.MISSING_ROW) from None
        folder = self.journal.folder.folder
        self.journal = Journal(self.keys, fd, seen=seen)
        os.close(old)
        if self.journal.folder.folder != folder:
            raise Forged(Refusal.SWAPPED)

    def expected(self, name: bytes) -> bool:
        """Whether something may stand under this name: else the storage need not be asked."""
        journal = self.refresh()
        return name in journal.live or name in journal.doubt

    def check(self, name: bytes, found: bytes) -> None:
        """What stands under the name must be what the journal says; `found` is ABSENT for nothing."""
        journal = self.journal
        if journal.live.get(name, files.ABSENT) == found:
            journal.doubt.pop(name, None)
            return
        journal = self.refresh()
        stands = journal.live.get(name, files.ABSENT)
        if stands == found:
            return
        if journal.doubt.get(name) == found:  # its writer was killed, or is about to carry it out
            return
        if found == files.ABSENT:
            raise Forged(Refusal.MISSING_ROW)
        if stands == files.ABSENT:
            raise Forged(Refusal.EXTRA_ROW)
        raise Forged(Refusal.SWAPPED if found in journal.live.values() else Refusal.ROLLED_BACK)

    def tag(self, stored: str) -> bytes:
        """What stands under a stored name, by its own word: the tag of a document, a folder's id, a link's hash, or ABSENT."""
        try:
            mode = os.stat(stored, dir_fd=self.fd, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                return link_tag(os.readlink(stored, dir_fd=self.fd))
            if stat.S_ISDIR(mode):
                return self._read(f"{stored}/{JOURNAL}", 8, 24)
            return self._read(stored, 36, _TAG_END)
        except FileNotFoundError:
            return files.ABSENT

    def _read(self, path: str, begin: int, end: int) -> bytes:
        with contextlib.closing(Descriptor(os.open(path, FILE_FLAGS, dir_fd=self.fd))) as file:
            raw = os.pread(file.fd, end, 0)
        if len(raw) < end:
            raise Forged(Refusal.TAG)
        return raw[begin:end]

    # --- changing ---------------------------------------------------------------------------------------

    def locked(self) -> Locked:
        """The only writer of this folder, among all mounts of the storage."""
        return Locked(self)

    def lock(self) -> Journal:
        self._depth += 1
        held = self._depth > 1
        try:
            while not held:
                fcntl.flock(self.journal.fd, fcntl.LOCK_EX)
                fd = self.journal.fd
                self.refresh()
                held = self.journal.fd == fd  # else it was written anew meanwhile: lock that one
        finally:
            if not held:  # whoever was refused holds nothing
                self.unlock()
        return self.journal

    def unlock(self) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.flock(self.journal.fd, fcntl.LOCK_UN)

    def change(self, lines: Callable[[Journal], Sequence[Line]], act: Callable[[], None]) -> None:
        """Write the lines, then carry them out. When that fails, say so in the journal."""
        with self.locked() as journal:
            planned = lines(journal)
            before = {name: journal.live.get(name, files.ABSENT) for kind, name, _, _ in planned if kind == files.SET}
            journal.append(planned)
            try:
                act()
            except OSError:
                journal.append([(files.SET, name, journal.live.get(name, files.ABSENT), old) for name, old in before.items()])
                raise
        if not self._depth and (journal.long or journal.old):
            self.shorten()

    def shorten(self) -> None:
        """Write the journal anew: fewer lines, and under the newest epoch."""
        with self.locked() as journal:
            if journal.doubt:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(NEXT_JOURNAL, dir_fd=self.fd)  # of somebody who was killed: we hold the lock
            write_whole(NEXT_JOURNAL, journal.shortened(), self.fd)
            os.rename(NEXT_JOURNAL, JOURNAL, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        self.refresh()

    def settle(self, name: bytes, found: bytes) -> None:
        """A change that was announced and never carried out: the journal takes it back."""
        with self.locked() as journal:
            if journal.doubt.get(name) == found:
                journal.append([(files.SET, name, journal.live.get(name, files.ABSENT), found)])

    def rest(self) -> None:
        """Say that all was carried out, when this mount goes: from then on the last change can no longer be taken back unnoticed."""
        with self.locked() as journal:
            if journal.loose:
                journal.append([(files.SET, files.ABSENT, files.ABSENT, files.ABSENT)])
                journal.loose = False


class Locked:
    """Holds a folder's lock while a `with` lasts; again inside is no second lock."""

    __slots__ = ("_folder",)

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __enter__(self) -> Journal:
        return self._folder.lock()

    def __exit__(self, *_: object) -> None:
        self._folder.unlock()


class Descriptor:
    """A descriptor that closes itself."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        os.close(self.fd)


def link_tag(target: str) -> bytes:
    return algorithms.sha256(target.encode())[: files.TAG_BYTES]


def write_whole(name: str, raw: bytes, dir_fd: int, *, mode: int = 0o600) -> None:
    """A new small file, on the disk before it gets its last name."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=dir_fd)
    try:
        if os.write(fd, raw) != len(raw):
            raise Conflict("The storage took only a part of a file.", hint="Is it full?", reason="short-write")
        os.fdatasync(fd)
    finally:
        os.close(fd)
