"""Every large table of care can be spread over machines by the dossier or the zone: one of them is in its primary key. docs/scale.md."""

from __future__ import annotations

from store_rig import Rig

KEYS = """
    select c.relname, array_agg(a.attname::text) as columns
      from pg_class c
      left join pg_index i on i.indrelid = c.oid and i.indisprimary
      left join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
     where c.relnamespace = 'care'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
     group by 1 order by 1"""
UNIQUE = """
    select c.relname from pg_index i join pg_class c on c.oid = i.indrelid
     where c.relnamespace = 'care'::regnamespace and i.indisunique and not i.indisprimary
       and not exists (select from pg_attribute a
                        where a.attrelid = c.oid and a.attnum = any (i.indkey) and a.attname in ('zone', 'dossier'))"""
BY_DOSSIER = {"commit", "dossier_key", "index_part", "rekey", "rekeyed", "res", "res_hist", "share"}
BY_ZONE = {"parked", "parked_line", "rekey_run", "shard_part", "zidx"}


async def test_the_dossier_or_the_zone_is_in_every_primary_key(trust: Rig) -> None:
    connection = await trust.connect()
    keys = {row["relname"]: set(row["columns"]) for row in await connection.fetch(KEYS)}
    assert keys["dossier"] == {"id"}
    for table in BY_DOSSIER:
        assert "dossier" in keys[table], table
    for table in BY_ZONE:
        assert "zone" in keys[table], table
    assert await connection.fetch(UNIQUE) == []  # what is unique by something else alone could not be spread
    await connection.close()
