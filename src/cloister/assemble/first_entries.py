"""The audit log's first entries: every object that was signed at the founding, before the store gate serves anybody.

A session believes no certificate, mandate, grant, team, zone or epoch that is not in the log. Spec: docs/spec/zones.md 14.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import asyncpg

from cloister.audit import TRUST_OBJECT, Entry, Log, sealed_entry, store
from cloister.identity import enrolment
from cloister.zones import algorithms, audit_keys, envelope

SOURCE: Final = "founding"


def objects_of(rows: enrolment.TrustRows) -> list[tuple[str, bytes]]:
    """(kind, hash) of everything signed."""
    return [
        *(("certificate", one.certificate_hash) for one in rows.enrolled),
        *(("mandate", one.hash) for one in rows.mandates),
        *(("zone", envelope.digest(one.body)) for one in rows.zones),
        *(("epoch", envelope.digest(one.epoch_body)) for one in rows.zones),
        *(("team", one.hash) for one in rows.teams),
        *(("membership", one.hash) for one in rows.memberships),
        *(("grant", one.hash) for one in rows.grants),
        *(("epoch_seal", envelope.digest(one.body)) for one in rows.seals),
        *_recovery(rows.recovery),
    ]


def _recovery(rows: enrolment.RecoveryRows | None) -> list[tuple[str, bytes]]:
    if rows is None:
        return []
    sets = [("recovery_set", one[2]) for one in rows.sets]
    return [("recovery_escrow", rows.escrow[0]), *sets, ("recovery_canary", rows.canary[2])]


async def put_on_record(
    connection: asyncpg.Connection[Any], trust: str, objects: Iterable[tuple[str, bytes]], office: audit_keys.PrivacyOffice, now: datetime
) -> None:
    """Entries 0 onwards of an empty log; the gate signs the first checkpoint over them."""
    key = audit_keys.new_data_key(trust, 1, now.replace(minute=0, second=0, microsecond=0), office)
    source = f"{SOURCE}@{algorithms.random(4).hex()}"
    entries = [
        sealed_entry(Entry(now, SOURCE, "", TRUST_OBJECT, kind, hashed.hex(), "success"), source, number, key)
        for number, (kind, hashed) in enumerate(objects, start=1)
    ]
    await connection.execute(store.APPEND_KEY, *store.key_arguments(key))
    await connection.execute(store.APPEND, *store.append_arguments(Log().step(entries)))
