"""The append-only log: numbering entries, keeping the tree, and checking what the database gives back.

Pure: the store gate runs the statements (store.py) and owns the only `Log` that appends. Entries are numbered
from 0 without gaps; a number is given before the insert and kept only if the insert succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloister.audit.checkpoint import Checkpoint, Sign, Verify, sign_checkpoint, verified_checkpoint
from cloister.audit.entry import Entry
from cloister.audit.tree import Frontier
from cloister.base.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it stands in the table."""

    seq: int
    entry: Entry
    leaf: bytes


class Log:
    """The tree of the log, one step ahead of the table. `number` then insert then `keep`; on a failed insert, just drop the rows."""

    def __init__(self, frontier: Frontier | None = None) -> None:
        self._frontier = frontier or Frontier()

    @property
    def size(self) -> int:
        return self._frontier.size

    def root(self) -> bytes:
        return self._frontier.root()

    def number(self, entries: Iterable[Entry]) -> list[Row]:
        """Rows for the next insert. Nothing changes until `keep`."""
        return [Row(seq, entry, entry.leaf()) for seq, entry in enumerate(entries, start=self.size)]

    def keep(self, rows: Sequence[Row]) -> None:
        """The insert of these rows is durable."""
        for row in rows:
            if row.seq != self.size:
                raise Corrupt("Audit entries were kept out of order.", reason="order")
            self._frontier.append(row.leaf)

    def checkpoint(self, trust: str, at: datetime, sign: Sign) -> Checkpoint:
        return sign_checkpoint(trust, self._frontier.copy(), at, sign)


def resumed(checkpoint: Checkpoint | None, rows: Iterable[Row], verify: Verify) -> Log:
    """The log after a restart: the last checkpoint, then all rows after it, each verified."""
    log = Log(None if checkpoint is None else verified_checkpoint(checkpoint, verify))
    _walk(log, rows)
    return log


def verified_root(rows: Iterable[Row], checkpoints: Iterable[Checkpoint], verify: Verify) -> bytes:
    """The root over all rows from the first, if every entry and every checkpoint fits; raises Corrupt by name."""
    wanted = {one.size: one for one in checkpoints}
    for one in wanted.values():
        verified_checkpoint(one, verify)
    log = Log()
    _check(log, wanted)
    for row in rows:
        _walk(log, (row,))
        _check(log, wanted)
    if wanted:
        raise Corrupt("The audit log is shorter than a signed checkpoint says: it was rolled back.", reason="rolled-back")
    return log.root()


def _walk(log: Log, rows: Iterable[Row]) -> None:
    for row in rows:
        if row.seq != log.size:
            raise Corrupt(f"Audit entry {log.size} is missing.", reason="missing-entry")
        if row.entry.leaf() != row.leaf:
            raise Corrupt(f"Audit entry {row.seq} was changed.", reason="changed-entry")
        log.keep((row,))


def _check(log: Log, wanted: dict[int, Checkpoint]) -> None:
    checkpoint = wanted.pop(log.size, None)
    if checkpoint is not None and checkpoint.root != log.root():
        raise Corrupt(f"The audit log was rewritten before entry {log.size}.", reason="rewritten")
