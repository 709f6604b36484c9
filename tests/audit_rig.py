"""Keys of an audit log for gates of the tests' own, and a privacy office that opens what they wrote."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloister.audit import DataKey, Entry, store
from cloister.base.errors import Corrupt
from cloister.records.gate import AuditKeys
from cloister.zones import algorithms, audit_keys

OFFICE = algorithms.KemPrivate(bytes(range(32)))


def audit_keys_of(trust: str, seed: bytes) -> AuditKeys:
    async def new_data_key(fetch: store.Fetch, number: int, begins: datetime) -> DataKey:
        return audit_keys.new_data_key(trust, number, begins, audit_keys.PrivacyOffice("privacy-office/1", OFFICE.public))

    return AuditKeys(audit_keys.log_signer(trust, seed), audit_keys.log_signer_65(trust, seed), new_data_key)


async def opened_log(connection: Any, trust: str, office: algorithms.KemPrivate = OFFICE) -> list[tuple[int, Entry]]:
    """(number, entry) of everything that this office can open."""
    keys = {}
    for row in await connection.fetch("select number, office, sealed from audit.data_key"):
        try:
            keys[row["number"]] = audit_keys.opened_data_key(trust, row["number"], row["office"], bytes(row["sealed"]), office.open)
        except Corrupt:
            continue
    rows = [store.row_of(row) for row in await connection.fetch("select * from audit.event order by seq")]
    return [(row.seq, keys[row.entry.key].opened(row.entry)) for row in rows if row.entry.key in keys]
