"""A trust of two hospitals and two people in a database of the estate, and the operators' acts over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
from postgres import Cluster

import cloister.identity
from cloister.base.database import open_pool
from cloister.base.errors import Unavailable
from cloister.base.migrations import migrate, read_migrations
from cloister.farm import EstateStore, migrations
from cloister.farm.operations import OperatingStore, Operations, Operator

DAMIEN: Final = Operator(id="damien", name="Damien Colin", session="s-damien")
PEOPLE: Final = """
    insert into trust.trust values ('t', 'Trust', now(), decode(repeat('01', 32), 'hex'), decode(repeat('02', 32), 'hex'), ''::bytea);
    insert into trust.hospital values ('h1', 'One', 'general', 'zh1', 1), ('h2', 'Two', 'general', 'zh2', 2);
    insert into trust.ward values ('w1', 'h1', 'Ward', 'x', 'zw1', 1);
    insert into trust.zone (id, hospital, ward, name, policy, body) values ('zw1', 'h1', 'w1', 'Ward', '{}', ''::bytea);
    insert into trust.person (id, sign_in, name, kind, role, hospital, language)
        values ('adele', 'adele.morel', 'Adele Morel', 'person', 'nurse', 'h1', 'en'),
               ('bruno', 'bruno.petit', 'Bruno Petit', 'person', 'doctor', 'h2', 'fr');
    insert into trust."grant" (hash, zone, person, seq, body) values (decode(repeat('03', 32), 'hex'), 'zw1', 'adele', 1, ''::bytea);"""


class House:
    """The acts, with an audit log that may be away; `agents` answers for each server's agent."""

    def __init__(self, pool: Any, *, agents: Callable[[str], Any], now: datetime) -> None:
        self.notes: list[dict[str, str]] = []
        self.audit_is_away = False
        self.pool = pool
        self.estate = EstateStore(pool)
        self.acts = Operations(store=OperatingStore(pool), servers=self.estate.servers, agents=agents, audit=self._audit, clock=lambda: now)

    async def _audit(self, entries: Any) -> None:
        if self.audit_is_away:
            raise Unavailable("The audit log does not answer.", reason="no-answer")
        self.notes += list(entries)

    async def do(self, act: str, **words: Any) -> Any:
        return await self.acts.answer(DAMIEN, act, words)


@asynccontextmanager
async def people_and_estate(database: Cluster) -> AsyncIterator[Any]:
    """Connections of the estate's role to its schema as it was first made, beside the trust's."""
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute(
        "drop schema if exists estate cascade; drop schema if exists trust cascade; drop table if exists public.migration"
    )
    folder = Path(cloister.identity.__file__).parent / "migrations"
    await migrate(connection, [*read_migrations("identity", folder), *migrations()])
    await connection.execute(PEOPLE)
    await connection.execute("alter role cloister_estate login")
    await connection.close()
    pool = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    yield pool
    await pool.close()
