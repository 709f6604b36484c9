"""A folder's journal: which version stands under which name, as a chain under the zone's keys. Spec: docs/spec/zones.md 27.3.

Each change is written here first and carried out on the storage second, both under one lock of the journal, which also
other mounts of the same storage take. So the journal is never behind: a file that is older than its line was put back by
somebody else, with one exception, the last group of lines, whose writer may have been killed before carrying it out.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from typing import Final

from cloister.zones import Forged, Refusal, files

JOURNAL: Final = ".journal"
NEXT_JOURNAL: Final = ".journal-next"
RECORDS_SPARE: Final = 4096  # lines beyond the live ones before the journal is written anew
HEADER: Final = files.JOURNAL_HEADER_BYTES
RECORD: Final = files.RECORD_BYTES

Line = tuple[int, bytes, bytes, bytes]  # kind, name, old, new


class Journal:
    """The state of one folder as its lines tell it; follows what other mounts append."""

    __slots__ = ("_end", "_fd", "_group", "_keys", "count", "doubt", "folder", "kept", "live", "loose", "size")

    def __init__(self, keys: files.FileKeys, fd: int, *, seen: int = 0) -> None:
        """`seen`: how many lines this folder was known to have before; fewer are refused."""
        self._keys = keys
        self._fd = fd
        self.folder: files.FolderKeys = keys.folder(os.pread(fd, HEADER, 0))
        self.count = self.folder.base  # lines since the folder was made
        self.size = HEADER
        self._end = self.folder.chain
        self._group: list[Line] = []  # the last group of lines of another mount
        self.live: dict[bytes, bytes] = {}  # name -> tag that stands
        self.kept: dict[bytes, list[bytes]] = {}  # name -> tags of older versions
        self.doubt: dict[bytes, bytes] = {}  # name -> tag before its last line, where nobody here knows that it was carried out
        self.loose = False  # whether the last group is ours, so that only we know that it was carried out
        self.refresh()
        if self.count < seen:
            raise Forged(Refusal.ROLLED_BACK)

    @property
    def fd(self) -> int:
        return self._fd

    @property
    def head(self) -> tuple[int, bytes]:
        """(number of lines ever written, chain after the last)."""
        return self.count, self._end

    # --- following ------------------------------------------------------------------------------------

    def refresh(self, size: int | None = None) -> None:
        """Read what was appended. Forged when the chain does not go on from what was seen."""
        size = os.fstat(self._fd).st_size if size is None else size
        if size - self.size < RECORD:  # a line cut short is one whose writer was killed: not written
            if size < self.size:
                raise Forged(Refusal.ROLLED_BACK)
            return
        raw = os.pread(self._fd, (size - self.size) // RECORD * RECORD, self.size)
        for at in range(0, len(raw) // RECORD * RECORD, RECORD):
            line = raw[at : at + RECORD]
            record = self.folder.open_record(line, self._end)
            self._end = line[-16:]
            if record.first:
                self._group = []
            self._group.append((record.kind, record.name, record.old, record.new))
            self._apply(record.kind, record.name, record.old, record.new)
            self.size += RECORD
            self.count += 1
        self.loose = False
        self.doubt = {name: old for kind, name, old, new in self._group if kind == files.SET and old != new}

    def _apply(self, kind: int, name: bytes, old: bytes, new: bytes) -> None:
        if kind == files.SET:
            if new == files.ABSENT:
                self.live.pop(name, None)
            else:
                self.live[name] = new
        elif kind == files.KEEP:
            self.kept.setdefault(name, []).append(new)
        elif kind == files.PRUNE:
            left = [tag for tag in self.kept.get(name, ()) if tag != old]
            self.kept.pop(name, None)
            if left:
                self.kept[name] = left
        elif kind == files.MOVE:
            moved = self.kept.pop(name, None)
            if moved:
                self.kept[new] = moved
        else:
            raise Forged(Refusal.MALFORMED)

    # --- writing, under the lock -----------------------------------------------------------------------

    def append(self, lines: Sequence[Line]) -> None:
        """One group, in one write. The caller holds the lock and has refreshed.

        What is in doubt is said again, so that it stays in the last group until somebody has looked.
        """
        if self.doubt:
            names = {line[1] for line in lines}
            said = [(files.SET, name, old, self.live.get(name, files.ABSENT)) for name, old in self.doubt.items() if name not in names]
            raw, end = self._sealed([*said, *lines])
        else:
            raw, end = self._sealed(lines)
        if os.pwrite(self._fd, raw, self.size) != len(raw):
            os.ftruncate(self._fd, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end = end
        self.size += len(raw)
        self.count += len(raw) // RECORD
        for line in lines:
            self._apply(*line)
            self.doubt.pop(line[1], None)
        self.loose = True

    def _sealed(self, lines: Sequence[Line]) -> tuple[bytes, bytes]:
        moment, end = time.time_ns() // 1000, self._end
        out: list[bytes] = []
        for kind, name, old, new in lines:
            one = self.folder.seal_record(end, kind, not out, moment, name, old, new)
            end = one[-16:]
            out.append(one)
        return b"".join(out), end

    @property
    def long(self) -> bool:
        return (self.size - HEADER) // RECORD > RECORDS_SPARE + 4 * (len(self.live) + len(self.kept))

    @property
    def old(self) -> bool:
        """Whether the folder's key is still wrapped under an older epoch."""
        return self.folder.epoch < self._keys.newest

    def shortened(self) -> bytes:
        """The same state in as few lines as possible, under the newest epoch. Numbers never fall: it ends one line further."""
        lines: list[Line] = [(files.SET, name, files.ABSENT, tag) for name, tag in self.live.items()]
        lines += [(files.KEEP, name, files.ABSENT, tag) for name, tags in self.kept.items() for tag in tags]
        header = self._keys.shortened(self.folder, max(0, self.count + 1 - len(lines)))
        folder, moment, out = self._keys.folder(header), time.time_ns() // 1000, [header]
        end = folder.chain
        for kind, name, old, new in lines:
            one = folder.seal_record(end, kind, True, moment, name, old, new)
            end = one[-16:]
            out.append(one)
        return b"".join(out)
