"""That signed objects are on record: their entries' places in the audit tree, under a signed checkpoint that is not old.

A session believes no certificate, mandate, grant, team, membership, zone or epoch without it. Spec: docs/spec/zones.md 14.5.
Hashes of full subtrees never change, so the gate keeps those that it has computed: most proofs read nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloister.audit import Row, store, tree
from cloister.records.gate.audit_keeper import FarAuditWriter
from cloister.records.gate.audit_writer import AuditWriter
from cloister.records.gate.connections import Connections

NODES_KEPT_MAX: Final = 200_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Proofs:
    def __init__(self, database: Connections, writer: AuditWriter | FarAuditWriter) -> None:
        self._database = database
        self._writer = writer
        self._known: dict[tuple[int, int], bytes] = {}

    async def of(self, hashes: Sequence[bytes]) -> dict[str, Any]:
        """{"note", "entries": [hash, number in the log, and what its leaf hashes], "paths", "nodes"}; what is not on record is left out.

        Paths name nodes by their place in `nodes`, because many objects share the upper part of the tree.
        """
        rows: dict[bytes, Row] = {}
        for record in await self._database.fetch(store.ENTRY_OF_OBJECT, list(dict.fromkeys(hashes))):
            rows.setdefault(bytes(record["named"]), store.row_of(record))
        head = await self._writer.head(max((row.seq + 1 for row in rows.values()), default=0))
        ranges = {hashed: tree.inclusion_ranges(row.seq, head.size) for hashed, row in rows.items()}
        wanted = sorted({one for path in ranges.values() for one in path})
        if len(self._known) > NODES_KEPT_MAX:
            self._known.clear()
        read = await store.tiles(self._database.fetch, wanted, self._known)
        places = {one: place for place, one in enumerate(wanted)}
        return {
            "note": head.note,
            "entries": [_entry(hashed, row) for hashed, row in rows.items()],
            "paths": [[places[one] for one in path] for path in ranges.values()],
            "nodes": [read.hash(one) for one in wanted],
        }


def _entry(hashed: bytes, row: Row) -> list[Any]:
    moment = (row.entry.at - _EPOCH) // timedelta(microseconds=1)
    return [hashed, row.seq, moment, row.entry.source, row.entry.number, row.entry.category, row.entry.private_hash()]
