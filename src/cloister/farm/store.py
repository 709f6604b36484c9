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
from cloister.farm.placement import Server, ServerState, Session, SessionKind
from cloister.farm.states import SessionState

SESSIONS_MAX: Final = 20_000

SESSION_COLUMNS: Final = "id, person, role, kind, label, server, slot, epoch, state, why, started, changed"
SESSION: Final = f"select {SESSION_COLUMNS} from estate.session where id = $1"
LIVE_OF_PERSON: Final = f"""
    select {SESSION_COLUMNS} from estate.session
     where person = $1 and state in ('starting', 'locked', 'active', 'disconnected')
     order by started, id limit 100"""
SESSIONS: Final = f"""
    select {SESSION_COLUMNS} from estate.session
     where state <> 'ended' and ($1::text is null or server = $1)
     order by started, id limit {SESSIONS_MAX}"""
SERVERS: Final = """
    select s.id, s.slots, s.state, s.load, s.missing, s.seen,
           s.slots - (select count(*) from estate.session x where x.server = s.id and x.state <> 'ended') as free
      from estate.server s order by s.id limit 2000"""
ADD_SESSION: Final = """
    insert into estate.session (id, person, role, kind, label, server, epoch, state, started, changed)
    values ($1, $2, $3, $4, $5, $6, $7, 'starting', $8, $8)"""
# A slot belongs to one live session: if a last word was lost, the agent's newer word frees the slot here.
FREE_SLOT: Final = """
    update estate.session set state = 'ended', why = 'slot-reused', changed = $4
     where server = $1 and slot = $2 and id <> $3 and state <> 'ended'"""
SET_PLACED: Final = """
    update estate.session set slot = $2, state = case when state = 'starting' then 'locked' else state end, changed = $3
     where id = $1 and state <> 'ended' returning state"""
SET_STATE: Final = "update estate.session set state = $3, why = $4, changed = $5 where id = $1 and state = $2 returning id"
SET_EPOCH: Final = "update estate.session set epoch = $3, changed = $4 where id = $1 and epoch = $2 returning id"
SET_SERVER: Final = """
    insert into estate.server (id, slots, state, free, load, missing, seen) values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (id) do update set slots = excluded.slots, state = excluded.state, free = excluded.free,
        load = excluded.load, missing = excluded.missing, seen = excluded.seen"""
SET_SEEN: Final = "update estate.server set load = $2, free = $3, seen = $4 where id = $1 returning id"
FORGET_ENDED: Final = "delete from estate.session where state = 'ended' and changed < $1"


class Store(Protocol):
    """What the broker needs to remember."""

    async def session(self, session: str) -> Session | None: ...
    async def live_of(self, person: str) -> list[Session]: ...
    async def sessions(self, server: str | None = None) -> list[Session]: ...
    async def servers(self) -> list[Server]: ...
    async def add_session(self, session: Session) -> None: ...
    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool: ...
    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool: ...
    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool: ...
    async def set_server(self, server: Server) -> None: ...
    async def set_seen(self, server: str, *, load: float, free: int, now: datetime) -> bool: ...
    async def forget_ended(self, before: datetime) -> None: ...


def migrations() -> list[Migration]:
    return read_migrations("farm", Path(__file__).parent / "migrations")


class EstateStore:
    """The Store in PostgreSQL, as role `cloister_estate`. Raises Unavailable when the database is away."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def session(self, session: str) -> Session | None:
        rows = await self._fetch(SESSION, session)
        return _session(rows[0]) if rows else None

    async def live_of(self, person: str) -> list[Session]:
        return [_session(row) for row in await self._fetch(LIVE_OF_PERSON, person)]

    async def sessions(self, server: str | None = None) -> list[Session]:
        return [_session(row) for row in await self._fetch(SESSIONS, server)]

    async def servers(self) -> list[Server]:
        return [_server(row) for row in await self._fetch(SERVERS)]

    async def add_session(self, session: Session) -> None:
        """Raises Conflict when this person already has a live session of this label (somebody was faster)."""
        s = session
        try:
            await self._fetch(ADD_SESSION, s.id, s.person, s.role, s.kind, s.label, s.server, s.epoch, s.started)
        except asyncpg.UniqueViolationError:
            raise Conflict("A session of this person is starting already.", hint="Try again.", reason="session-exists") from None

    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool:
        await self._fetch(FREE_SLOT, server, slot, session, now)
        return bool(await self._fetch(SET_PLACED, session, slot, now))

    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool:
        return bool(await self._fetch(SET_STATE, session, known, state, why, now))

    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool:
        return bool(await self._fetch(SET_EPOCH, session, known, epoch, now))

    async def set_server(self, server: Server) -> None:
        s = server
        await self._fetch(SET_SERVER, s.id, s.slots, s.state, s.free, s.load, json.dumps(s.missing), s.seen)

    async def set_seen(self, server: str, *, load: float, free: int, now: datetime) -> bool:
        return bool(await self._fetch(SET_SEEN, server, load, free, now))

    async def forget_ended(self, before: datetime) -> None:
        await self._fetch(FORGET_ENDED, before)

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
        return rows


def _session(row: Any) -> Session:
    fields = dict(row)
    return Session(**{**fields, "kind": SessionKind(fields["kind"]), "state": SessionState(fields["state"])})


def _server(row: Any) -> Server:
    fields = dict(row)
    return Server(**{**fields, "state": ServerState(fields["state"]), "missing": tuple(json.loads(fields["missing"]))})
