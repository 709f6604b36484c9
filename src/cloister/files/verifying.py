"""`cloister zone verify FOLDER`: every journal and every document down to its last block. Spec: docs/spec/zones.md 27.6.

Live, a mount notices what it opens; this looks at everything, and can take over what a power failure left between journal and storage.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.files.content import BATCH_BLOCKS, BLOCK, Version
from cloister.files.folder import FILE_FLAGS, Folder
from cloister.files.saving import kept_name
from cloister.files.walking import Found, open_root, open_version, target_of, walk
from cloister.zones import Forged, Refusal, files

_BUFFER: Final = memoryview(bytearray(BLOCK * BATCH_BLOCKS))
ACCEPTABLE: Final = frozenset({Refusal.ROLLED_BACK, Refusal.EXTRA_ROW, Refusal.MISSING_ROW})


@dataclass(frozen=True, slots=True)
class Fault:
    """`where` is the folder as people know it, `stored` the name on the storage."""

    where: str
    stored: str
    reason: Refusal


@dataclass(slots=True)
class Verified:
    documents: int = 0
    folders: int = 1
    versions: int = 0
    bytes: int = 0
    rewrapped: int = 0
    heads: dict[str, int] | None = None


def verify(keys: files.FileKeys, place: Path, done: Verified, *, seen: dict[str, int], rewrap: bool) -> Iterator[Fault]:
    """Each fault as it is found. `seen`: lines that each folder was known to have; `done.heads` are those of now."""
    root = open_root(keys, place)
    done.heads = {}
    yield from _head(root, b"", done, seen)
    yield from _versions(root, b"", done)
    for one in walk(root):
        if isinstance(one, tuple):
            path, stored, reason = one
            yield Fault(os.fsdecode(path), stored, reason)
            continue
        try:
            if one.kind == stat.S_IFREG:
                done.bytes += read_through(one)
                done.documents += 1
                if rewrap and rewrapped(one):
                    done.rewrapped += 1
            elif one.kind == stat.S_IFLNK:
                target_of(one)
            elif one.kind == stat.S_IFDIR:
                done.folders += 1
                inner = Folder(keys, os.open(one.stored, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=one.folder.fd))
                yield from _head(inner, one.path, done, seen)
                yield from _versions(inner, one.path, done)
                inner.close()
        except Forged as forged:
            yield Fault(os.fsdecode(os.path.dirname(one.path)), one.stored, forged.refusal)
    root.close()


def _head(folder: Folder, path: bytes, done: Verified, seen: dict[str, int]) -> Iterator[Fault]:
    assert done.heads is not None
    done.heads[folder.id.hex()] = folder.journal.count
    if folder.journal.count < seen.get(folder.id.hex(), 0):
        yield Fault(os.fsdecode(path), ".journal", Refusal.ROLLED_BACK)


def _versions(folder: Folder, path: bytes, done: Verified) -> Iterator[Fault]:
    for tags in folder.journal.kept.values():
        for tag in tags:
            stored = kept_name(tag)
            try:
                fd = os.open(stored, FILE_FLAGS, dir_fd=folder.fd)
            except FileNotFoundError:
                yield Fault(os.fsdecode(path), stored, Refusal.MISSING_ROW)
                continue
            try:
                if Version(folder.keys, fd).head.tag != tag:
                    raise Forged(Refusal.SWAPPED)
                done.versions += 1
            except Forged as forged:
                yield Fault(os.fsdecode(path), stored, forged.refusal)
            finally:
                os.close(fd)


def read_through(one: Found, take: Callable[[memoryview], None] | None = None) -> int:
    """Open every block; the document's length."""
    version = open_version(one)
    with contextlib.closing(version):
        size = version.size
        for offset in range(0, size, len(_BUFFER)):
            got = version.read_into(offset, _BUFFER)
            if take is not None:
                take(_BUFFER[:got])
        return size


def rewrapped(one: Found) -> bool:
    """The document's key under the newest epoch: its header is written anew where it stands, less than one disk sector."""
    keys = one.folder.keys
    fd = os.open(one.stored, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=one.folder.fd)
    try:
        raw = os.pread(fd, files.HEADER_BYTES, 0)
        if keys.head(raw).epoch == keys.newest:
            return False
        found = os.fstat(fd)
        os.pwrite(fd, keys.rewrapped(raw), 0)
        os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        return True
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `accept` let stand, by the names that people know. What is gone is only counted: its name went with it."""

    changed: list[str]  # another version than the journal's
    found: list[str]  # not in the journal
    gone: int


def accept(keys: files.FileKeys, place: Path, where: str) -> Accepted:
    """After a power failure: what is this zone's own and lies in this folder stands from now on."""
    root = open_root(keys, place)
    folder = root
    for part in [one for one in os.fsencode(where).split(b"/") if one]:
        _, stored = folder.name(part)
        folder = Folder(keys, os.open(stored, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder.fd))
    with folder.locked() as journal:
        lines = []
        there = set()
        accepted: dict[bool, list[str]] = {True: [], False: []}
        for stored in os.listdir(folder.fd):
            if stored[0] not in "=~" or stored.endswith(".name"):
                continue
            with contextlib.suppress(Forged):
                siv, name = folder.plain(stored)
                tag = _genuine(folder, siv, stored)
                there.add(siv)
                if journal.live.get(siv, files.ABSENT) != tag:
                    accepted[siv in journal.live].append(os.fsdecode(name))
                    lines.append((files.SET, siv, journal.live.get(siv, files.ABSENT), tag))
        gone = [(files.SET, siv, tag, files.ABSENT) for siv, tag in journal.live.items() if siv not in there]
        if lines or gone:
            journal.append([*lines, *gone])
        return Accepted(sorted(accepted[True]), sorted(accepted[False]), len(gone))


def _genuine(folder: Folder, siv: bytes, stored: str) -> bytes:
    """The tag of what lies there, if this zone's keys open it."""
    mode = os.stat(stored, dir_fd=folder.fd, follow_symlinks=False).st_mode
    if stat.S_ISREG(mode):
        fd = os.open(stored, FILE_FLAGS, dir_fd=folder.fd)
        with contextlib.closing(Version(folder.keys, fd)) as version:
            return version.head.tag
    tag = folder.tag(stored)
    if stat.S_ISLNK(mode):
        folder.journal.folder.open_text(files.sealed_text(os.readlink(stored, dir_fd=folder.fd)), siv)
    return tag
