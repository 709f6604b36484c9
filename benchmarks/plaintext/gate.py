"""The baseline's store gate: the same pool, wire and audit writer, plaintext statements."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.audit import entry_from_wire
from cloister.base import wire
from cloister.base.clock import system_clock
from cloister.base.errors import Invalid
from cloister.records.gate.audit_writer import AuditWriter
from cloister.records.gate.server import POOL_CONNECTIONS

STORE: Final = """
    insert into plain.res (type, id, ver, updated, patient, code, date, body)
    select type, id::uuid, 1, now(), patient, code, date::timestamptz, body::jsonb
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) w (type, id, patient, code, date, body)
    on conflict (type, id) do nothing returning type, id::text"""
READ: Final = "select ver, updated, body::text from plain.res where type = $1 and id = $2::uuid"
SEARCH: Final = """
    select id::text, ver, updated, body::text from plain.res
     where type = $1 and ($2::text is null or patient = $2) and ($3::text is null or code = $3)
     order by date desc nulls last limit $4"""


class PlainGate:
    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._audit = AuditWriter(pool, clock=system_clock, checkpoint_key=None)

    async def handle(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        """The audit entry is durable before the answer, as in the sealed store."""
        entries = [entry_from_wire(one) for one in arguments["audit"]]
        match method:
            case "store":
                found = await self._pool.fetch(STORE, *arguments["columns"])
                result: Any = [f"{row['type']}/{row['id']}" for row in found]
            case "read":
                row = await self._pool.fetchrow(READ, arguments["type"], arguments["id"])
                result = None if row is None else [row["ver"], row["updated"].timestamp(), row["body"].encode()]
            case "search":
                rows = await self._pool.fetch(SEARCH, arguments["type"], arguments["patient"], arguments["code"], arguments["count"])
                result = [[row["id"], row["ver"], row["updated"].timestamp(), row["body"].encode()] for row in rows]
            case _:
                raise Invalid("The plaintext gate has no such statement.")
        await self._audit.append(entries)
        return result


async def serve_gate(where: Path, arguments: dict[str, Any]) -> None:
    pool = await asyncpg.create_pool(min_size=0, max_size=POOL_CONNECTIONS, command_timeout=60, **arguments)
    gate = PlainGate(pool)
    server = await wire.serve(where, gate.handle, mode=0o666)
    await server.serve_forever()
