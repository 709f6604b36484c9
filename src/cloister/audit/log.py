"""The append-only log: numbering entries, keeping the tree, and checking what the database gives back.

Pure: the store gate runs the statements (store.py) and owns the only `Log` that appends. Entries are numbered
from 0 without gaps; a number is given before the insert and kept only if the insert succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloister.audit.checkpoint import Checkpoint
from cloister.audit.entry import Sealed
from cloister.audit.tree import Frontier, Node
from cloister.base.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it stands in the table."""

    seq: int
    entry: Sealed
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """What one insert writes: rows, the nodes of the tree that they complete, and the tree afterwards."""

    rows: tuple[Row, ...]
    nodes: tuple[Node, ...]
    after: Frontier


class Log:
    """The tree of the log. `step`, then insert, then `keep`; on a failed insert just drop the step."""

    def __init__(self, frontier: Frontier | None = None) -> None:
        self._frontier = frontier or Frontier()

    @property
    def size(self) -> int:
        return self._frontier.size

    def root(self) -> bytes:
        return self._frontier.root()

    def step(self, entries: Iterable[Sealed]) -> Step:
        """The next insert. Nothing changes until `keep`."""
        after, nodes, rows = self._frontier.copy(), list[Node](), list[Row]()
        for entry in entries:
            rows.append(Row(after.size, entry, entry.leaf()))
            after.append(rows[-1].leaf, nodes)
        return Step(tuple(rows), tuple(nodes), after)

    def keep(self, step: Step) -> None:
        """The insert of this step is durable."""
        if step.rows and step.rows[0].seq != self.size:
            raise Corrupt("Audit entries were kept out of order.", reason="order")
        self._frontier = step.after

    def check(self, rows: Iterable[Row]) -> list[Node]:
        """Go on over stored rows, each verified; the nodes that must stand beside them. Corrupt by name."""
        nodes = list[Node]()
        for row in rows:
            self.check_row(row, self.size)
            self._frontier.append(row.leaf, nodes)
        return nodes

    @staticmethod
    def check_row(row: Row, expected: int) -> None:
        if row.seq != expected:
            raise Corrupt(f"Audit entry {expected} is missing.", reason="missing-entry")
        if row.entry.leaf() != row.leaf:
            raise Corrupt(f"Audit entry {row.seq} was changed.", reason="changed-entry")


def resumed(checkpoint: Checkpoint | None, frontier: Frontier | None, rows: Iterable[Row]) -> Log:
    """The log after a restart: the frontier of the last verified checkpoint from the stored nodes, then all rows after it."""
    if checkpoint is not None and (frontier is None or frontier.size != checkpoint.size or frontier.root() != checkpoint.root):
        hint = "Run: cloister audit verify"
        raise Corrupt("The audit log's tree does not give the root that was signed last.", hint=hint, reason="rewritten")
    log = Log(frontier if checkpoint is not None else None)
    log.check(rows)
    return log


class Walk:
    """The whole log from its first row, against all verified checkpoints; Corrupt by name at the first thing that does not fit."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self._wanted: dict[int, set[bytes]] = {}
        for one in checkpoints:
            self._wanted.setdefault(one.size, set()).add(one.root)
        self._log = Log()
        self._sources: dict[str, int] = {}
        self.gaps: list[str] = []
        self._compare()

    @property
    def size(self) -> int:
        return self._log.size

    def row(self, row: Row) -> list[Node]:
        nodes = self._log.check((row,))
        source, number = row.entry.source, row.entry.number
        expected = self._sources.get(source, 0) + 1
        if number != expected:
            self.gaps.append(gap(source, expected, number - 1) if number > expected else f"{source} numbered two entries {number}")
        self._sources[source] = max(number, expected)
        self._compare()
        return nodes

    def done(self) -> bytes:
        """The root; Corrupt(rolled-back) when a checkpoint speaks of entries that are not there."""
        if self._wanted:
            raise Corrupt("The audit log is shorter than a signed checkpoint says: it was rolled back.", reason="rolled-back")
        return self._log.root()

    def _compare(self) -> None:
        roots = self._wanted.pop(self._log.size, None)
        if roots is not None and roots != {self._log.root()}:
            raise Corrupt(f"The audit log was rewritten before entry {self._log.size}.", reason="rewritten")


def gap(source: str, first: int, last: int) -> str:
    what = f"entry {first}" if first == last else f"entries {first} to {last}"
    return f"{source}: {what} missing"
