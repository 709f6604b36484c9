"""Going through an encrypted folder without a mount: every folder and every document, with the same rules."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloister.base.errors import Conflict, NotFound
from cloister.files.content import InPlace, Version, unless_done
from cloister.files.folder import FILE_FLAGS, FOLDER_FLAGS, Folder, link_tag
from cloister.files.names import stored_names
from cloister.files.place import read_mark
from cloister.zones import Forged, Refusal, files


@dataclass(frozen=True, slots=True)
class Found:
    """One name: a document's content is opened by who needs it."""

    folder: Folder
    path: bytes  # as people know it
    siv: bytes
    stored: str
    kind: int


def open_root(keys: files.FileKeys, place: Path) -> Folder:
    mark = read_mark(place)
    if (mark.trust, mark.zone) != (keys.trust, keys.zone):
        raise Conflict(f"{place} belongs to another zone.", hint=f"Its zone is {mark.zone}.", reason="other-zone")
    return Folder(keys, os.open(place, FOLDER_FLAGS))


def walk(folder: Folder, path: bytes = b"") -> Iterator[Found | tuple[bytes, str, Refusal]]:
    """Everything below; instead of what does not verify, (path of its folder, its stored name, the reason)."""
    folder.refresh()
    refused: list[tuple[str, Refusal]] = []
    listed = list(stored_names(folder, refused))
    yield from ((path, stored, reason) for stored, reason in refused)
    there = {siv for _, siv, _, _ in listed}
    for siv in folder.journal.live:
        if siv not in there and siv not in folder.journal.doubt:
            yield path, siv.hex(), Refusal.MISSING_ROW
    for name, siv, stored, kind in sorted(listed):
        found = Found(folder, path + b"/" + name if path else name, siv, stored, kind)
        if kind != stat.S_IFDIR:
            yield found
            continue
        try:
            inner = Folder(folder.keys, os.open(stored, FOLDER_FLAGS, dir_fd=folder.fd))
        except (Forged, OSError) as refused_one:
            yield path, stored, refused_one.refusal if isinstance(refused_one, Forged) else Refusal.MISSING_ROW
            continue
        try:
            folder.check(siv, inner.id)
            yield found
            yield from walk(inner, found.path)
        except Forged as forged:
            yield path, stored, forged.refusal
        finally:
            inner.close()


def open_version(found: Found) -> Version | InPlace:
    fd = os.open(found.stored, FILE_FLAGS, dir_fd=found.folder.fd)
    with unless_done(lambda: os.close(fd)):
        version: Version | InPlace = Version(found.folder.keys, fd)
        if version.head.flags & files.IN_PLACE:
            version = InPlace(found.folder.keys, fd)
        found.folder.check(found.siv, version.head.tag)
    return version


def target_of(found: Found) -> bytes:
    text = os.readlink(found.stored, dir_fd=found.folder.fd)
    found.folder.check(found.siv, link_tag(text))
    return found.folder.journal.folder.open_text(files.sealed_text(text), found.siv)


def at_path(root: Folder, path: str) -> Found:
    """The name at a path below the root; NotFound otherwise. The folders on the way stay open."""
    folder = root
    parts = [part for part in os.fsencode(path).split(b"/") if part]
    if not parts:
        raise NotFound("Name a document inside the folder.")
    for number, part in enumerate(parts):
        siv, stored = folder.name(part)
        last = number == len(parts) - 1
        if last:
            return Found(folder, b"/".join(parts), siv, stored, stat.S_IFREG)
        try:
            inner = Folder(root.keys, os.open(stored, FOLDER_FLAGS, dir_fd=folder.fd))
        except FileNotFoundError:
            raise NotFound(f"There is no folder {os.fsdecode(part)} in this zone.") from None
        folder.check(siv, inner.id)
        folder = inner
    raise NotFound("Name a document inside the folder.")
