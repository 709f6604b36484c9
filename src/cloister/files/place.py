"""An encrypted folder as such: which zone it belongs to, and its first journal. Spec: docs/spec/zones.md 27.1."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.files.folder import FOLDER_FLAGS, Folder, write_whole
from cloister.files.journal import JOURNAL
from cloister.zones import files

MARK: Final = "cloister-zone.json"
FORM: Final = "cloister/files/v1"
MARK_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose keys open this folder. Nobody's secret; a false one opens nothing, for every journal is bound to trust and zone."""

    trust: str
    zone: str


def read_mark(folder: Path) -> Mark:
    try:
        raw = (folder / MARK).read_bytes()[:MARK_BYTES_MAX]
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{folder} is not an encrypted folder.", hint=f"Make it one: cloister zone encrypt {folder} --zone ZONE") from None
    try:
        body = json.loads(raw)
        mark = Mark(str(body["trust"]), str(body["zone"]))
    except (ValueError, KeyError, TypeError):
        raise Invalid(f"{folder / MARK} is not what Cloister wrote.", hint="Restore it from a backup; it names only the zone.") from None
    if body.get("form") != FORM:
        raise Invalid(f"{folder} was written by another version of Cloister.", hint="Use that version.")
    return mark


def make(folder: Path, keys: files.FileKeys) -> None:
    """An empty folder becomes an encrypted one."""
    fd = os.open(folder, FOLDER_FLAGS)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(JOURNAL, dir_fd=fd)
            raise Conflict(f"{folder} is an encrypted folder already.")
        mark = json.dumps({"form": FORM, "trust": keys.trust, "zone": keys.zone}).encode()
        made = Folder.make(keys, os.dup(fd))
        made.close()
        write_whole(MARK, mark, fd, mode=0o644)
    finally:
        os.close(fd)
