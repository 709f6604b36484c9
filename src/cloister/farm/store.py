"""The estate's rows in PostgreSQL: servers and sessions, schema `estate`. No patient data, no keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg

from cloister.base.database import LOST
from cloister.base.errors import Conflict, Unavailable
from cloister.base.migrations import Migration, read_migrations
from cloister.farm.claims import Claims
from cloister.farm.claims_store import APPLICATIONS, GROUPS, EstateClaims
from cloister.farm.groups import Application, Group
from cloister.farm.placement import Server, ServerState, Session
from cloister.farm.rows import SESSION_COLUMNS, application_of, group_of, session_of
from cloister.farm.states import SessionState

SESSIONS_MAX: Final = 20_000

SESSION: Final = f"select {SESSION_COLUMNS} from estate.session where id = $1"
LIVE_OF_PERSON: Final = f"""
    select {SESSION_COLUMNS} from estate.session
     where person = $1 and state in ('starting', 'locked', 'active', 'disconnected')
     order by started, id limit 100"""
SESSIONS: Final = f"""
    select {SESSION_COLUMNS} from estate.session
     where state <> 'ended' and ($1::text is null or server = $1)
     order by started, id limit {SESSIONS_MAX}"""
ADD_SESSION: Final = """
    insert into estate.session (id, person, role, kind, label, server, epoch, state, started, changed, application)
    values ($1, $2, $3, $4, $5, $6, $7, 'starting', $8, $8, $9)"""
SET_PLACED: Final = "select estate.placed($1, $2, $3) as found"
SET_STATE: Final = "update estate.session set state = $3, why = $4, changed = now() where id = $1 and state = $2 returning id"
SET_EPOCH: Final = "update estate.session set epoch = $3, changed = now() where id = $1 and epoch = $2 returning id"
# What an operator or a failed check decided stays: a hello makes ready only what was off or starting.
SET_SERVER: Final = """
    insert into estate.server as s (id, slots, state, free, load, missing, seen, memory, groups, image)
    values ($1, $2, $3, $4, $5, $6, now(), $7, $8, $9)
    on conflict (id) do update set slots = excluded.slots, free = excluded.free, load = excluded.load, missing = excluded.missing,
        seen = excluded.seen, memory = excluded.memory, groups = excluded.groups, image = excluded.image,
        state = case when s.state in ('draining', 'maintenance', 'unhealthy') then s.state else excluded.state end,
        why = case when s.state in ('draining', 'maintenance', 'unhealthy') then s.why else '' end"""
SET_SERVER_STATE: Final = "update estate.server set state = $3, why = $4 where id = $1 and state = $2 returning id"
SET_SEEN: Final = "update estate.server set load = $2, free = $3, seen = now(), memory = $4 where id = $1 returning id"
REVIVE: Final = """
    update estate.session set state = $3, why = '', changed = $4
     where id = $1 and server = $2 and state = 'ended' and why = 'server-lost'
       and not exists (select from estate.licence_pool p where p.application = estate.session.application) -- its seat was given back
    returning id"""
FORGET_ENDED: Final = "delete from estate.session where state = 'ended' and changed < $1"
SET_APPLICATION: Final = """
    insert into estate.application (id, name, kind, settings, sessions_max, each_max) values ($1, $2, $3, $4, $5, $6)
    on conflict (id) do update set name = excluded.name, kind = excluded.kind, settings = excluded.settings,
        sessions_max = excluded.sessions_max, each_max = excluded.each_max"""
SET_GROUP: Final = """
    insert into estate.delivery_group (id, name, hospital, image, applications, tolerance, server_max, servers, labels, roles)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (id) do update set name = excluded.name, hospital = excluded.hospital, image = excluded.image,
        applications = excluded.applications, tolerance = excluded.tolerance, server_max = excluded.server_max,
        servers = excluded.servers, labels = excluded.labels, roles = excluded.roles"""


class Store(Claims, Protocol):
    """What the broker needs to remember."""

    async def session(self, session: str) -> Session | None: ...
    def nobody(self, person: str) -> bool:
        """Whether, as far as is known without asking, this person has no session: `claim` says EXISTS if they have."""
        ...

    async def live_of(self, person: str) -> list[Session]: ...
    async def sessions(self, server: str | None = None) -> list[Session]: ...
    async def servers(self) -> list[Server]: ...
    async def add_session(self, session: Session) -> None: ...
    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool: ...
    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool: ...
    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool: ...
    async def set_server(self, server: Server) -> None: ...
    async def set_server_state(self, server: str, known: ServerState, state: ServerState, why: str) -> bool: ...
    async def set_seen(self, server: str, *, load: float, memory: float, free: int, now: datetime) -> bool: ...
    async def revive(self, session: str, server: str, state: SessionState, *, now: datetime) -> bool: ...
    async def forget_ended(self, before: datetime) -> None: ...
    async def applications(self) -> list[Application]: ...
    async def set_application(self, application: Application) -> None: ...
    async def groups(self) -> list[Group]: ...
    async def set_group(self, group: Group) -> None: ...


def migrations() -> list[Migration]:
    return read_migrations("farm", Path(__file__).parent / "migrations")


class EstateStore(EstateClaims):
    """The Store in PostgreSQL, as role `cloister_estate`. Raises Unavailable when the database is away.

    All moments are of the database's clock: the caller's `now` is for stores that have no other.
    """

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        super().__init__()
        self._pool = pool

    async def session(self, session: str) -> Session | None:
        rows = await self._fetch(SESSION, session)
        return session_of(rows[0]) if rows else None

    def nobody(self, person: str) -> bool:
        return False

    async def live_of(self, person: str) -> list[Session]:
        return [session_of(row) for row in await self._fetch(LIVE_OF_PERSON, person)]

    async def sessions(self, server: str | None = None) -> list[Session]:
        return [session_of(row) for row in await self._fetch(SESSIONS, server)]

    async def add_session(self, session: Session) -> None:
        """Raises Conflict when this person already has a live session of this label (somebody was faster)."""
        s = session
        try:
            await self._fetch(ADD_SESSION, s.id, s.person, s.role, s.kind, s.label, s.server, s.epoch, s.started, s.application)
        except asyncpg.UniqueViolationError:
            raise Conflict("A session of this person is starting already.", hint="Try again.", reason="session-exists") from None

    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool:
        """A slot belongs to the newest session. False when the session has ended meanwhile."""
        return bool((await self._fetch(SET_PLACED, session, server, slot))[0]["found"])

    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool:
        return bool(await self._fetch(SET_STATE, session, known, state, why))

    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool:
        return bool(await self._fetch(SET_EPOCH, session, known, epoch))

    async def set_server(self, server: Server) -> None:
        """What its agent says of a server. One that is draining, in maintenance or unhealthy stays so."""
        s = server
        missing, groups = json.dumps(s.missing), list(s.groups)
        await self._fetch(SET_SERVER, s.id, s.slots, s.state, s.free, s.load, missing, s.memory, groups, s.image)

    async def set_server_state(self, server: str, known: ServerState, state: ServerState, why: str) -> bool:
        return bool(await self._fetch(SET_SERVER_STATE, server, known, state, why))

    async def set_seen(self, server: str, *, load: float, memory: float, free: int, now: datetime) -> bool:
        return bool(await self._fetch(SET_SEEN, server, load, free, memory))

    async def revive(self, session: str, server: str, state: SessionState, *, now: datetime) -> bool:
        """A session that was given up with its server; False when its person has another by now, or it had ended otherwise."""
        try:
            return bool(await self._fetch(REVIVE, session, server, state, now))
        except asyncpg.UniqueViolationError:
            return False

    async def forget_ended(self, before: datetime) -> None:
        await self._fetch(FORGET_ENDED, before)

    async def applications(self) -> list[Application]:
        return [application_of(row) for row in await self._fetch(APPLICATIONS)]

    async def set_application(self, application: Application) -> None:
        a = application
        await self._fetch(SET_APPLICATION, a.id, a.name, a.kind, json.dumps(dict(a.settings)), a.sessions_max, a.each_max)

    async def groups(self) -> list[Group]:
        return [group_of(row) for row in await self._fetch(GROUPS)]

    async def set_group(self, group: Group) -> None:
        g = group
        lists = [list(one) for one in (g.servers, g.labels, g.roles)]
        await self._fetch(SET_GROUP, g.id, g.name, g.hospital, g.image, list(g.applications), g.tolerance, g.server_max, *lists)

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
        return rows
