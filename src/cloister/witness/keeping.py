"""A witness that is only a folder: checkpoints as files, on a mount that somebody else keeps or that locks objects.

`latest` is replaced at each checkpoint; once a minute one is kept for ever, with the proof that it continues the one before.
The folder signs nothing. Whoever checks it later needs the log's public key alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloister.audit import Checkpoint, NoteKey, verified_checkpoint
from cloister.base.errors import Corrupt
from cloister.witness.folder import Folder
from cloister.witness.judge import Submission, judged, parsed_submission

LATEST: Final = "latest.checkpoint"
KEPT_EVERY: Final = timedelta(minutes=1)


def name_of(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.size:016d}-{int(checkpoint.at.timestamp())}.checkpoint"


class FolderWitness:
    def __init__(self, log: NoteKey, folder: Folder) -> None:
        self._log = log
        self.folder = folder
        latest = folder.read(LATEST)
        self.seen = verified_checkpoint(latest, log) if latest else None
        self._kept = self.newest_kept()

    def add(self, given: Submission) -> None:
        """Refused by name when it does not continue the newest one here."""
        found = judged(self._log, self.seen, given)
        if self._kept is None or found.at - self._kept.at >= KEPT_EVERY:
            self.folder.make(name_of(found), given.text())
            self._kept = found
        self.folder.replace(LATEST, found.note)
        self.seen = found

    def start_again(self, note: str, why: str) -> None:
        """Two officers answered for a restored log."""
        found = verified_checkpoint(note, self._log)
        self.folder.make(f"restored-{int(found.at.timestamp())}.txt", why + "\n" + (self.seen.note if self.seen else ""))
        self.folder.make(name_of(found), Submission(0, (), note).text())
        self.folder.replace(LATEST, note)
        self.seen = self._kept = found

    def newest_kept(self) -> Checkpoint | None:
        files = [name for name in self.folder.names() if name.endswith(".checkpoint") and name != LATEST]
        return self.read(files[-1])[1] if files else None

    def read(self, name: str) -> tuple[Submission, Checkpoint]:
        """One kept checkpoint, its signature verified."""
        given = parsed_submission(self.folder.read(name) or "")
        return given, verified_checkpoint(given.note, self._log)

    def check(self) -> list[Checkpoint]:
        """Every checkpoint of the folder, each signed, none contradicting another of the same size; Corrupt by name."""
        found: dict[int, Checkpoint] = {}
        for name in self.folder.names():
            if not name.endswith(".checkpoint"):
                continue
            one = verified_checkpoint(self.folder.read(name) or "", self._log) if name == LATEST else self.read(name)[1]
            other = found.setdefault(one.size, one)
            if other.root != one.root:
                raise Corrupt(f"Two signed checkpoints of {one.size} entries contradict each other: the log was forked.", reason="forked")
        return [found[size] for size in sorted(found)]
