"""What the administrator may look at: rows exactly as the database holds them. Only for the role it-operator."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Denied
from cloister.records.gate.statement import Arguments, Call, Statement

ROLE: Final = "it-operator"

# (table, what it is, columns): the newest rows first where the table knows an order
LOOKS: Final = (
    (
        "care.res",
        "select dossier::text, rtype, id::text, ver, day::text, key_no, dict_no, ct from care.res order by day desc, id desc limit $1",
    ),
    ("care.index_part", "select dossier::text, part_no, ct from care.index_part order by dossier desc, part_no limit $1"),
    ("care.zidx", "select zone, dossier::text, rtype, id::text, toks from care.zidx order by dossier desc, id limit $1"),
    ("care.dossier_key", "select dossier::text, key_no, zone, epoch, wrapped from care.dossier_key order by dossier desc limit $1"),
    ("care.commit", "select dossier::text, seq, blob from care.commit order by dossier desc, seq limit $1"),
    ("care.shard_part", "select zone, part_no, ct from care.shard_part order by part_no desc limit $1"),
    ("trust.identity", "select person, kem_public, sign_public, sealed_private from trust.identity order by person limit $1"),
)
COUNTS: Final = """
    select c.relnamespace::regnamespace::text || '.' || c.relname, greatest(c.reltuples, 0)::int8, pg_total_relation_size(c.oid)
      from pg_class c where c.relkind = 'r' and c.relnamespace = 'care'::regnamespace order by 1 limit 50"""


class Look(Arguments):
    limit: Annotated[int, Meta(ge=1, le=200)] = 10


async def look_ciphertext(call: Call, arguments: Look) -> Any:
    """{'tables': [{'table', 'columns', 'rows'}], 'sizes': [[table, about how many rows, bytes]]}."""
    if call.role != ROLE:
        raise Denied("Only an IT operator looks at the database from here.", reason="role")
    tables = []
    for table, sql in LOOKS:
        found = await call.database.fetch(sql, arguments.limit)
        columns = list(found[0].keys()) if found else []
        tables.append({"table": table, "columns": columns, "rows": [tuple(row) for row in found]})
    sizes = [tuple(row) for row in await call.database.fetch(COUNTS)]
    return {"tables": tables, "sizes": sizes}


STATEMENTS: Final = (Statement("look_ciphertext", Look, look_ciphertext),)
