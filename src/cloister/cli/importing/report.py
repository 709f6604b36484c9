"""The report of an import: a summary, and one NDJSON line for each thing that did not go in."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import orjson

from cloister.base.errors import Unavailable
from cloister.cli.importing.unit import Rejected

SHOWN_MAX = 5


@dataclass(slots=True)
class Counts:
    """Resources, but for `units`."""

    units: int = 0
    new: int = 0
    present: int = 0  # the server had them
    skipped: int = 0  # the journal knew their unit
    rejected: int = 0

    @property
    def done(self) -> int:
        return self.new + self.present + self.skipped


class Report:
    """A folder of its own for each run; the file of rejected entries is made with the first of them."""

    def __init__(self, imports: Path, started: datetime) -> None:
        self.folder = imports / started.strftime("%Y%m%dT%H%M%S.%fZ")
        self.counts = Counts()
        self.shown: list[Rejected] = []
        self._lines: IO[bytes] | None = None
        self._entries: set[tuple[str, int | None]] = set()
        self._started = started

    def reject(self, one: Rejected) -> None:
        """An entry with several faults counts once and has a line for each."""
        key = (one.file, one.entry)
        if key not in self._entries:
            self._entries.add(key)
            self.counts.rejected += 1
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(one)
        if self._lines is None:
            self._lines = _private(self.folder, "rejected.ndjson")
        self._lines.write(one.as_line() + b"\n")
        self._lines.flush()

    @property
    def rejected_file(self) -> Path | None:
        return self.folder / "rejected.ndjson" if self._lines is not None else None

    def finish(self, *, source: str, hospital: str, program: str, seconds: float, complete: bool) -> Path:
        """Write the summary; returns its path."""
        body = {
            "source": source,
            "hospital": hospital,
            "program": program,
            "started": self._started.isoformat(timespec="milliseconds"),
            "seconds": round(seconds, 3),
            "complete": complete,
            **asdict(self.counts),
            "resources_per_second": round((self.counts.new + self.counts.present) / seconds, 1) if seconds > 0 else 0,
            "rejected_file": str(self.rejected_file) if self.rejected_file else None,
        }
        with _private(self.folder, "summary.json") as file:
            file.write(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")
        if self._lines is not None:
            self._lines.close()
        return self.folder / "summary.json"


def _private(folder: Path, name: str) -> IO[bytes]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as refused:
        raise Unavailable(f"The import's report cannot be written in {folder}: {refused.strerror}.", hint="Is the disk full?") from refused
