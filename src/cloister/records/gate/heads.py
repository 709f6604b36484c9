"""The heads that have just passed through this gate: what opens a dossier that moved a moment ago, without asking PostgreSQL again.

Ciphertext, signatures and wrapped keys, nothing else. Whoever gets a head from here verifies it like any other. A head is given out in
two cases only: it is the very one that PostgreSQL has just named beside the rows, or the caller builds a write on it, which PostgreSQL
accepts only on the head that it has. Which zones a dossier is wrapped for is remembered as long as which zones a person has.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

ZONES_KEPT_SECONDS: Final = 2.0  # a revoked grant, or the end of a share, is noticed within this time
DOSSIERS_MAX: Final = 2000
PARTS_MAX: Final = 48  # kept of one dossier: a writer makes one of all before there are more
PART_BYTES_MAX: Final = 8192
WRAPPED_FOR_MAX: Final = 8  # sets of zones

Zones = tuple[str, ...]
Row = tuple[Any, ...]  # as reading.OPEN gives it


@dataclass(slots=True)
class _Head:
    """Of one dossier: its newest head, as far as it is known here."""

    kind: str
    seq: int
    blob: bytes
    numbers: frozenset[int]  # of all its index parts
    parts: dict[int, bytes]  # those that passed through here
    wraps: OrderedDict[Zones, tuple[float, list[Row]]] = field(default_factory=OrderedDict)


class Heads:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._known: OrderedDict[bytes, _Head] = OrderedDict()

    def answer(self, zones: Zones, id: bytes, since: int, seq: int, *, at: int | None = None) -> list[Row] | None:
        """What reading.OPEN would give to somebody who knows head `seq` and parts up to `since`; None when it must be asked for.

        `at`: the head that it must be.
        """
        head = self._known.get(id)
        if head is None or head.seq < seq or (at is not None and head.seq != at):
            return None
        asked, wraps = head.wraps.get(zones, (0.0, []))
        if not wraps or self.now() - asked > ZONES_KEPT_SECONDS:
            return None
        if head.seq == seq:
            return [(0, id, seq, 0, head.kind, None)]
        wanted = sorted(number for number in head.numbers if number > since)
        if not all(number in head.parts for number in wanted):
            return None
        self._known.move_to_end(id)
        parts = [(2, id, number, 0, None, head.parts[number]) for number in wanted]
        return [(0, id, head.seq, 0, head.kind, head.blob), *wraps, *parts, (3, id, 0, 0, " ".join(map(str, head.numbers)), None)]

    def learn(self, zones: Zones, rows: Iterable[Row], asked: float) -> None:
        """The rows that reading.OPEN gave; `asked`: when, before the statement was sent."""
        of: dict[bytes, list[list[Row]]] = {}
        for row in rows:
            of.setdefault(row[1], [[], [], [], []])[row[0]].append(row)
        for id, (heads, wraps, parts, numbers) in of.items():
            if not heads or heads[0][5] is None or not wraps or not numbers:
                continue  # no dossier, or one whose head the caller knew
            seq = heads[0][2]
            head = self._known.get(id)
            if head is not None and head.seq > seq:
                continue
            if head is None or head.seq < seq:
                known = head.parts if head is not None else {}
                all = frozenset(map(int, (numbers[0][4] or "").split()))
                head = _Head(heads[0][4], seq, heads[0][5], all, {number: ct for number, ct in known.items() if number in all})
                self._keep(id, head)
            head.blob = heads[0][5]  # what stands in the database counts, whatever passed before
            head.parts.update((row[2], row[5]) for row in parts if len(row[5]) <= PART_BYTES_MAX)
            head.wraps[zones] = (asked, wraps)
            head.wraps.move_to_end(zones)
            while len(head.wraps) > WRAPPED_FOR_MAX:
                head.wraps.popitem(last=False)
            self._bound(id, head)

    def wrote(self, id: bytes, seq: int, blob: bytes, part_no: int, part: bytes, dropped: Sequence[int] = ()) -> None:
        """A write of this gate was stored on head `seq`, and wrapped the dossier for nobody new."""
        head = self._known.get(id)
        if head is None or head.seq != seq:  # what came between went another way
            self._known.pop(id, None)
            return
        head.seq, head.blob = seq + 1, blob
        head.numbers = head.numbers.difference(dropped) | {part_no}
        for number in dropped:
            head.parts.pop(number, None)
        if len(part) <= PART_BYTES_MAX:
            head.parts[part_no] = part
        self._bound(id, head)

    def forget(self, ids: Iterable[bytes] | None = None) -> None:
        """Of these dossiers, or of all: their keys may have changed."""
        for id in list(self._known) if ids is None else ids:
            self._known.pop(id, None)

    def _keep(self, id: bytes, head: _Head) -> None:
        self._known[id] = head
        self._known.move_to_end(id)
        while len(self._known) > DOSSIERS_MAX:
            self._known.popitem(last=False)

    def _bound(self, id: bytes, head: _Head) -> None:
        while len(head.parts) > PARTS_MAX:
            del head.parts[min(head.parts)]
