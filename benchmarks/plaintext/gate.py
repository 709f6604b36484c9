"""The baseline's store gate: the same connections, wire and audit writer, plaintext statements."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cloister.audit import DataKey, Entry, store
from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.errors import Invalid
from cloister.records.gate.audit_writer import AuditKeys, AuditWriter
from cloister.records.gate.connections import Connections
from cloister.records.gate.server import CONNECTIONS_MAX
from cloister.zones import algorithms, audit_keys

STORE: Final = """
    insert into plain.res (type, id, ver, updated, patient, code, date, body)
    select type, id::uuid, 1, now(), patient, code, date::timestamptz, body::jsonb
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) w (type, id, patient, code, date, body)
    on conflict (type, id) do nothing returning type, id::text"""
READ: Final = "select ver, updated, body::text from plain.res where type = $1 and id = $2::text::uuid"
OF_PATIENT: Final = """
    select id::text, ver, updated, body::text from plain.res
     where type = $1 and patient = $2 order by date desc nulls last limit $3"""
OF_PATIENT_AND_CODE: Final = """
    select id::text, ver, updated, body::text from plain.res
     where type = $1 and patient = $2 and code = $4 order by date desc nulls last limit $3"""

EVERYTHING: Final = """
    select type, id::text, ver, updated, body::text from plain.res
     where patient = 'Patient/' || $1 order by type <> 'Patient', updated desc limit $2"""


def _audit_keys() -> AuditKeys:
    """The same audit log as the trust's, so that what is compared is the record; its keys are nobody's."""

    async def new_data_key(fetch: store.Fetch, number: int, begins: datetime) -> DataKey:
        office = audit_keys.PrivacyOffice("nobody", algorithms.kem_public(bytes(32)))
        return audit_keys.new_data_key("plain", number, begins, office)

    return AuditKeys(audit_keys.log_signer("plain", bytes(32)), audit_keys.log_signer_65("plain", bytes(32)), new_data_key)


class PlainGate:
    def __init__(self, database: Connections) -> None:
        self._database = database
        self._audit = AuditWriter(database, clock=system_clock, keys=_audit_keys())

    async def handle(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        """The audit entry is durable before the answer, as in the sealed store."""
        now = system_clock()
        entries = [Entry(now, *one) for one in arguments["audit"]]
        match method:
            case "store":
                stored = await self._database.fetch(STORE, *arguments["columns"])
                result: Any = [f"{row['type']}/{row['id']}" for row in stored]
            case "read":
                row = await self._database.fetchrow(READ, arguments["type"], arguments["id"])
                result = None if row is None else [row["ver"], row["updated"].timestamp(), row["body"].encode()]
            case "search":
                asked = [arguments["type"], arguments["patient"], arguments["count"]]
                code = arguments["code"]
                found = self._database.fetch(OF_PATIENT_AND_CODE, *asked, code) if code else self._database.fetch(OF_PATIENT, *asked)
                rows = await found
                result = [[row["id"], row["ver"], row["updated"].timestamp(), row["body"].encode()] for row in rows]
            case "everything":
                rows = await self._database.fetch(EVERYTHING, arguments["patient"], arguments["count"])
                result = [[row["type"], row["id"], row["ver"], row["updated"].timestamp(), row["body"].encode()] for row in rows]
            case _:
                raise Invalid("The plaintext gate has no such statement.")
        await self._audit.append(entries)
        return result


async def serve_gate(where: Path, arguments: dict[str, Any]) -> None:
    gate = PlainGate(Connections(arguments, largest=CONNECTIONS_MAX))
    server = await wire.serve(where, gate.handle, mode=0o666)
    await server.serve_forever()
