"""What both directories' tests share: a database as the door sees it, sessions that can be ended, and people."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import asyncpg
from postgres import Cluster

from cloister.base.database import open_pool
from cloister.base.migrations import migrate
from cloister.base.secret import Secret
from cloister.farm import migrations as farm_migrations
from cloister.gateway import migrations as gateway_migrations
from cloister.gateway import sign_ins
from cloister.identity import Known, Person

DOOR: Final = Secret(b"d" * 32)
CLAIRE: Final = Person(
    id="claire", sign_in="claire.vasseur", name="Claire Vasseur", kind="person", role="doctor", hospital=None, language="fr", disabled=False
)
KNOWN: Final = Known(sign_in=CLAIRE.sign_in, person=CLAIRE, authenticators=())
HERS: Final = "Ward-round-at-seven-1"
OFFICER: Final = SimpleNamespace(id="s-2", person="sebastien", role="certificate-officer")


@dataclass
class Sessions:
    """Stands where the broker stands: who is signed in, and whose session was ended."""

    live: list[Any] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def list_sessions(self) -> list[Any]:
        return self.live

    async def end_session(self, session: str, reason: str = "") -> None:
        self.ended.append(f"{session} {reason}")


@asynccontextmanager
async def doors_pool(database: Cluster) -> AsyncIterator[Any]:
    """Connections under the controller's role, to a new database in which Claire is somebody."""
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute("drop schema if exists estate, trust cascade; drop table if exists public.migration")
    await migrate(connection, [*farm_migrations(), *gateway_migrations()])
    await connection.execute(
        """alter role cloister_estate login; create schema trust; grant usage on schema trust to cloister_estate;
           create table trust.person (id text, sign_in text, name text, kind text);
           insert into trust.person values ('claire', 'claire.vasseur', 'Claire Vasseur', 'person');
           grant select on trust.person to cloister_estate"""
    )
    await connection.close()
    made = await open_pool(database.arguments(user="cloister_estate"), smallest=1)
    yield made
    await made.close()


async def written(database: Cluster, one: sign_ins.Directory) -> None:
    """As `cloister directory add` writes it."""
    sealed = sign_ins.DoorKey(DOOR, "directory").seal(one.password.reveal(), one.id.encode())
    connection = await asyncpg.connect(**database.arguments())
    await connection.execute(
        """insert into estate.directory (id, kind, priority, urls, base, bind, sealed, ca, schema)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do update set urls = excluded.urls""",
        one.id, one.kind, one.priority, json.dumps(list(one.urls)), one.base, one.bind, sealed, one.ca, one.schema,
    )  # fmt: skip
    await connection.close()
