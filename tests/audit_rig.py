"""Keys of an audit log for gates of the tests' own, and a privacy office that opens what they wrote."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from cloister.audit import DataKey, Entry, store
from cloister.base.errors import Corrupt
from cloister.records.gate import AuditKeys
from cloister.zones import algorithms, audit_keys, bundle, envelope, teams, unlockers

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


async def kem_of_office(connection: Any, sign_in: str, passphrase: str) -> algorithms.KemPrivate:
    """The privacy office's private key, from a privacy officer's passphrase and what the database holds sealed."""
    row = await connection.fetchrow(
        "select u.id, u.person, u.params::text, u.sealed, i.sealed_private from trust.unlocker u join trust.person p on p.id = u.person"
        " join trust.identity i on i.person = p.id where p.sign_in = $1 and u.kind = 'passphrase'",
        sign_in,
    )
    kek, _ = unlockers.passphrase_secrets(passphrase, json.loads(row["params"]))
    stored = unlockers.Unlocker(row["id"], row["person"], "passphrase", json.loads(row["params"]), bytes(row["sealed"]))
    private = bundle.open_bundle(row["person"], bytes(row["sealed_private"]), unlockers.unwrap_unlock_key(kek, stored))
    blob = bytes(await connection.fetchval("select body from trust.membership where person = $1", row["person"]))
    root = bytes(await connection.fetchval("select access_root from trust.trust"))
    body = envelope.opened(teams.MEMBERSHIP_LABEL, blob, root)
    info = teams._info(envelope.peek_signer(blob), {name: value for name, value in body.items() if name != "sealed"})
    return algorithms.KemPrivate(private.kem.open(body["sealed"], info))
