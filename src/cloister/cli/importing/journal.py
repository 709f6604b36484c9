"""What has been imported, so that an interrupted import goes on where it stopped: one line a unit, keyed by its digest.

Only a convenience: without it a second run sends everything again, and the server skips what it has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cloister.base.errors import Unavailable

NAME: Final = "journal"


class Journal:
    """Append-only; a line that was cut short by a power failure is ignored."""

    def __init__(self, folder: Path, hospital: str) -> None:
        self._hospital = hospital
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open(os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b")  # noqa: SIM115 (open as long as the import)
        except OSError as refused:
            raise Unavailable(
                f"The import journal in {folder} cannot be opened: {refused.strerror}.", hint="Is the disk full?"
            ) from refused
        self._file.seek(0)
        self._done = set(self._file.read().split(b"\n"))

    def _line(self, digest: bytes) -> bytes:
        return f"{self._hospital} {digest.hex()}".encode()

    def has(self, digest: bytes) -> bool:
        return self._line(digest) in self._done

    def add(self, digest: bytes) -> None:
        """Called once the server has said that it stored the unit."""
        line = self._line(digest)
        self._done.add(line)
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except OSError as refused:
            raise Unavailable(
                f"The import journal cannot be written: {refused.strerror}.", hint="Free some disk space and run it again."
            ) from refused

    def close(self) -> None:
        self._file.close()
