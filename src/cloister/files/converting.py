"""`cloister zone encrypt` and `decrypt`: a plain folder becomes an encrypted one where it stands, and the way out.

Everything first moves into `.converting` inside the folder, so that no plain name can be taken for a sealed one; then each document is
sealed, on the disk, in the journal, and only then removed. Whoever is interrupted runs the same command again. What is removed stays in
blocks that the file system calls free, until it uses them again: SECURITY.md.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Conflict, NotFound
from cloister.files.ahead import draft_name
from cloister.files.content import BATCH_BLOCKS, BLOCK, Draft, unless_done
from cloister.files.folder import FOLDER_FLAGS, Descriptor, Folder, link_tag
from cloister.files.journal import JOURNAL, NEXT_JOURNAL
from cloister.files.place import MARK, make
from cloister.files.verifying import read_through
from cloister.files.walking import Found, open_root, target_of, walk
from cloister.zones import Refusal, algorithms, files

PLAIN: Final = ".converting"
OURS: Final = frozenset({PLAIN, MARK, JOURNAL, NEXT_JOURNAL})
READ_BYTES: Final = BLOCK * BATCH_BLOCKS

Say = Callable[[int, int], None]  # documents and bytes so far


@dataclass(slots=True)
class Progress:
    documents: int = 0
    bytes: int = 0
    left_out: int = 0  # pipes, sockets, devices: they stay where they are


def count(place: Path) -> tuple[int, int]:
    """(documents, bytes) still to be sealed."""
    documents = size = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with contextlib.suppress(OSError):
                documents, size = documents + 1, size + os.lstat(os.path.join(folder, name)).st_size
    return documents, size


def encrypt(keys: files.FileKeys, place: Path, say: Say) -> Progress:
    """Seal everything in this folder, in place; goes on where an earlier run stopped."""
    if not place.is_dir():
        raise NotFound(f"There is no folder {place}.")
    if not (place / MARK).exists():
        _move_aside(place)
        make(place, keys)
    elif not (place / PLAIN).exists():
        raise Conflict(f"{place} is an encrypted folder already.", reason="encrypted")
    root, progress = open_root(keys, place), Progress()
    plain = os.open(place / PLAIN, FOLDER_FLAGS)
    try:
        _seal_folder(root, plain, progress, say)
    finally:
        os.close(plain)
        root.close()
    if not progress.left_out:
        os.rmdir(place / PLAIN)
    return progress


def _move_aside(place: Path) -> None:
    (place / PLAIN).mkdir(mode=0o700, exist_ok=True)
    for name in os.listdir(place):
        if name not in OURS:
            os.rename(place / name, place / PLAIN / name)
    for name in (JOURNAL, NEXT_JOURNAL):  # of a run that was interrupted before it made the mark
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place / name)


def _seal_folder(folder: Folder, plain: int, progress: Progress, say: Say) -> None:
    for name in sorted(os.listdir(plain), key=os.fsencode):
        found = os.stat(name, dir_fd=plain, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            progress.bytes += _seal_document(folder, plain, name, found)
            progress.documents += 1
            os.unlink(name, dir_fd=plain)
            say(progress.documents, progress.bytes)
        elif stat.S_ISLNK(found.st_mode):
            _seal_link(folder, os.fsencode(name), os.fsencode(os.readlink(name, dir_fd=plain)))
            os.unlink(name, dir_fd=plain)
        elif stat.S_ISDIR(found.st_mode):
            inner, below = _inner(folder, os.fsencode(name), found), os.open(name, FOLDER_FLAGS, dir_fd=plain)
            left_out = progress.left_out
            try:
                _seal_folder(inner, below, progress, say)
            finally:
                os.close(below)
                inner.close()
            if progress.left_out == left_out:
                os.rmdir(name, dir_fd=plain)
        else:
            progress.left_out += 1


def _seal_document(folder: Folder, plain: int, name: str, found: os.stat_result) -> int:
    draft = Draft(folder.keys.new_document(algorithms.random(16), 1), folder.fd, draft_name(), 0o600)
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=plain)
    buffer = memoryview(bytearray(READ_BYTES))
    siv, stored = folder.name(os.fsencode(name))

    def act() -> None:
        os.fdatasync(folder.journal.fd)
        os.rename(draft.stored, stored, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        os.fsync(folder.fd)

    with contextlib.closing(Descriptor(source)), unless_done(draft.discard):
        while got := os.preadv(source, [buffer], draft.size):
            draft.write(draft.size, buffer[:got])
        draft.finish(folder.keys)
        if os.geteuid() == 0:
            os.fchown(draft.fd, found.st_uid, found.st_gid)
        os.fchmod(draft.fd, stat.S_IMODE(found.st_mode))
        os.utime(draft.fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fdatasync(draft.fd)  # the plain one is removed next
        folder.note_long(os.fsencode(name), stored)
        folder.change(lambda journal: [(files.SET, siv, journal.live.get(siv, files.ABSENT), draft.new.tag)], act)
    os.close(draft.fd)
    return draft.size


def _seal_link(folder: Folder, name: bytes, target: bytes) -> None:
    siv, stored = folder.name(name)
    folder.note_long(name, stored)
    text, temporary = files.stored_text(folder.journal.folder.seal_text(target, siv)), draft_name()
    os.symlink(text, temporary, dir_fd=folder.fd)
    folder.change(
        lambda journal: [(files.SET, siv, journal.live.get(siv, files.ABSENT), link_tag(text))],
        lambda: os.rename(temporary, stored, src_dir_fd=folder.fd, dst_dir_fd=folder.fd),
    )


def _inner(folder: Folder, name: bytes, found: os.stat_result) -> Folder:
    """The sealed folder of this name, made now or by an earlier run."""
    siv, stored = folder.name(name)
    if siv not in folder.refresh().live:
        temporary = draft_name()
        os.mkdir(temporary, 0o700, dir_fd=folder.fd)
        made = Folder.make(folder.keys, os.open(temporary, FOLDER_FLAGS, dir_fd=folder.fd))
        if os.geteuid() == 0:
            os.fchown(made.fd, found.st_uid, found.st_gid)
        os.fchmod(made.fd, stat.S_IMODE(found.st_mode))
        folder.note_long(name, stored)
        folder.change(
            lambda journal: [(files.SET, siv, files.ABSENT, made.id)],
            lambda: os.rename(temporary, stored, src_dir_fd=folder.fd, dst_dir_fd=folder.fd),
        )
        return made
    return Folder(folder.keys, os.open(stored, FOLDER_FLAGS, dir_fd=folder.fd))


# --- the way out ---------------------------------------------------------------------------------------


def decrypt(keys: files.FileKeys, place: Path, target: Path, say: Say) -> Iterator[tuple[str, str, Refusal]]:
    """Copy everything as plain files into another folder; the encrypted one stays. Yields what does not verify."""
    target.mkdir(exist_ok=True)
    documents = size = 0
    for one in walk(open_root(keys, place)):
        if isinstance(one, tuple):
            path, stored, reason = one
            yield os.fsdecode(path), stored, reason
            continue
        out = target / os.fsdecode(one.path)
        found = os.stat(one.stored, dir_fd=one.folder.fd, follow_symlinks=False)
        if one.kind == stat.S_IFDIR:
            out.mkdir(exist_ok=True)
        elif one.kind == stat.S_IFLNK:
            with contextlib.suppress(FileExistsError):
                os.symlink(target_of(one), os.fsencode(out))
        else:
            size += _copy_out(one, out, found)
            documents += 1
            say(documents, size)


def _copy_out(one: Found, out: Path, found: os.stat_result) -> int:
    with contextlib.suppress(FileNotFoundError):
        there = out.stat()
        if there.st_mtime_ns == found.st_mtime_ns and there.st_size == files.plain_size(found.st_size):
            return there.st_size  # by an earlier run
    part = out.with_name(out.name + ".part")
    with part.open("wb") as file:
        size = read_through(one, lambda data: _write(file.fileno(), data))
        os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
        os.fdatasync(file.fileno())
    os.utime(part, ns=(found.st_atime_ns, found.st_mtime_ns))
    part.rename(out)
    return size


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
