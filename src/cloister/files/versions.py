"""Older versions of a document: listed, read, thrown away. docs/files.md."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cloister.base.errors import NotFound
from cloister.files.content import BATCH_BLOCKS, BLOCK, Version
from cloister.files.folder import DRAFT, FILE_FLAGS, FOLDER_FLAGS, VERSIONS, Folder
from cloister.files.saving import kept_name
from cloister.files.walking import Found, at_path, open_root, walk
from cloister.zones import files

SPARE_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Kept:
    """`tag` names it; `current` is the one that stands."""

    tag: str
    number: int
    size: int
    saved: datetime
    current: bool


def of(keys: files.FileKeys, place: Path, path: str) -> list[Kept]:
    """Oldest first."""
    found = at_path(open_root(keys, place), path)
    journal = found.folder.refresh()
    standing = [found.stored] if found.siv in journal.live else []
    listed = [_kept(found.folder, kept_name(tag), current=False) for tag in journal.kept.get(found.siv, ())]
    listed += [_kept(found.folder, stored, current=True) for stored in standing]
    if not listed:
        raise NotFound(f"There is no document {path} in this zone.")
    return sorted(listed, key=lambda one: (one.current, one.saved, one.number))


def _kept(folder: Folder, stored: str, *, current: bool) -> Kept:
    with contextlib.closing(Version(folder.keys, os.open(stored, FILE_FLAGS, dir_fd=folder.fd))) as version:
        saved = datetime.fromtimestamp(os.fstat(version.fd).st_mtime, UTC)
        return Kept(version.head.tag.hex(), version.head.version, version.size, saved, current)


def read(keys: files.FileKeys, place: Path, path: str, tag: str, take: Callable[[memoryview], None]) -> None:
    """The bytes of a kept version."""
    found = at_path(open_root(keys, place), path)
    kept = [one for one in found.folder.refresh().kept.get(found.siv, ()) if one.hex().startswith(tag)]
    if len(kept) != 1:
        raise NotFound("There is no such version of this document.", hint="cloister zone versions FOLDER PATH lists them.")
    buffer = memoryview(bytearray(BLOCK * BATCH_BLOCKS))
    with contextlib.closing(Version(keys, os.open(kept_name(kept[0]), FILE_FLAGS, dir_fd=found.folder.fd))) as version:
        if version.head.tag != kept[0]:
            raise NotFound("There is no such version of this document.")
        for offset in range(0, version.size, len(buffer)):
            take(buffer[: version.read_into(offset, buffer)])


def prune(keys: files.FileKeys, place: Path, *, before: datetime) -> int:
    """Throw away the kept versions that were saved before a moment; how many."""
    root = open_root(keys, place)
    count = _prune(root, before)
    for one in walk(root):
        if isinstance(one, Found) and one.kind == stat.S_IFDIR:
            inner = Folder(keys, os.open(one.stored, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=one.folder.fd))
            count += _prune(inner, before)
            inner.close()
    return count


def _prune(folder: Folder, before: datetime) -> int:
    count = 0
    with folder.locked() as journal:
        for siv, tags in list(journal.kept.items()):
            for tag in list(tags):
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(kept_name(tag), dir_fd=folder.fd).st_mtime >= before.timestamp():
                        continue
                journal.append([(files.PRUNE, siv, tag, files.ABSENT)])
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(kept_name(tag), dir_fd=folder.fd)
                count += 1
        wanted = {kept_name(tag) for tags in journal.kept.values() for tag in tags}
        _clear(folder, VERSIONS, lambda name: f"{VERSIONS}/{name}" not in wanted)
        _clear(folder, ".", lambda name: name.startswith(DRAFT))
    return count


def _clear(folder: Folder, below: str, spare: Callable[[str], bool]) -> None:
    """What somebody left who was killed, more than a day ago."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(below, FOLDER_FLAGS, dir_fd=folder.fd)
        try:
            for name in filter(spare, os.listdir(fd)):
                if os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime < time.time() - SPARE_SECONDS:
                    with contextlib.suppress(IsADirectoryError):
                        os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)
