"""What operators ask of the estate's rows: whose sessions, which servers, what was said to whom. No patient data, no keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

from cloister.base.database import LOST
from cloister.base.errors import Unavailable
from cloister.farm.policies import SessionPolicy, policy_of

FOUND_MAX: Final = 200
MESSAGES_SHOWN: Final = 50

# $1 sessions, $2 person (id or sign-in name), $3 ward, $4 server, $5 hospital, $6 all, $7 gateway; what is null does not choose.
CHOSEN: Final = """
    select s.id, s.person, s.server, s.state from estate.session s left join trust.person p on p.id = s.person
     where s.state <> 'ended' and ($6 or s.id = any ($1) or s.person = $2 or p.sign_in = $2 or s.server = $4 or p.hospital = $5
           or s.id in (select c.session from estate.came_by c where c.gateway = $7)
           or ($3::text is not null and s.person in (select trust.people_of_ward($3))))
     order by s.started, s.id limit 20000"""
ENDING: Final = """
    update estate.session set state = 'ending', why = $2, changed = $3
     where id = any ($1) and state in ('starting', 'locked', 'active', 'disconnected') returning id"""
SEARCH: Final = f"""
    select s.id, s.person, coalesce(p.sign_in, s.person) as sign_in, coalesce(p.name, '') as name, s.role, s.kind, s.label, s.server,
           s.slot, s.state, s.why, s.started, s.changed, coalesce(h.name, '') as hospital,
           coalesce((select string_agg(c.gateway, ', ' order by c.first) from estate.came_by c where c.session = s.id), '') as gateways
      from estate.session s left join trust.person p on p.id = s.person left join trust.hospital h on h.id = p.hospital
     where (s.state <> 'ended' or $2) and ($1 = '' or p.sign_in ilike '%' || $1 || '%' or p.name ilike '%' || $1 || '%'
           or s.id = $1 or s.server = $1)
     order by s.state = 'ended', s.started desc limit {FOUND_MAX}"""
BY_SERVER: Final = """
    select server, count(*) filter (where state = 'active') as active, count(*) filter (where state = 'locked') as locked,
           count(*) filter (where state = 'disconnected') as disconnected, count(*) as sessions
      from estate.session where state <> 'ended' group by server limit 5000"""
GROUPS: Final = "select id, name, hospital from estate.delivery_group order by hospital, id limit 1000"
NAME: Final = "select name from trust.person where id = $1"
ADD_MESSAGE: Final = "insert into estate.message (id, text, sender, scope, urgent, made) values ($1, $2, $3, $4, $5, $6)"
ADD_RECEIVER: Final = (
    "insert into estate.message_to (message, session, person, pages) select $1, u.* from unnest($2::text[], $3::text[], $4::int[]) u"
)
SEEN: Final = "update estate.message_to set seen = $3 where message = $1 and session = $2 and seen is null returning message"
MESSAGES: Final = f"""
    select m.id, m.text, m.sender, m.scope, m.urgent, m.made, count(t.session) as sessions, count(t.pages) as told,
           count(*) filter (where t.pages > 0) as shown, count(t.seen) as seen
      from estate.message m left join estate.message_to t on t.message = m.id
     group by m.id order by m.made desc limit {MESSAGES_SHOWN}"""
FORGET_MESSAGES: Final = "delete from estate.message where made < $1"
POLICIES: Final = """
    select hospital, grp, role, idle_lock_seconds, away_seconds, linger_seconds, absolute_seconds, shadow, prelaunch
      from estate.session_policy order by hospital, grp, role limit 1000"""
SET_POLICY: Final = """
    insert into estate.session_policy
           (hospital, grp, role, idle_lock_seconds, away_seconds, linger_seconds, absolute_seconds, shadow, prelaunch, changed)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now())
    on conflict (hospital, grp, role) do update set idle_lock_seconds = excluded.idle_lock_seconds, away_seconds = excluded.away_seconds,
        linger_seconds = excluded.linger_seconds, absolute_seconds = excluded.absolute_seconds, shadow = excluded.shadow,
        prelaunch = excluded.prelaunch, changed = now()"""
FORGET_POLICY: Final = "delete from estate.session_policy where hospital = $1 and grp = $2 and role = $3 returning role"


class OperatingStore:
    """As role `cloister_estate`. Raises Unavailable when the database is away."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    async def chosen(self, **by: Any) -> list[Any]:
        """[{id, person, server, state}] of the sessions that a selector means; see CHOSEN."""
        named = (by.get("person"), by.get("ward"), by.get("server"), by.get("hospital"))
        return list(await self.fetch(CHOSEN, by.get("sessions") or [], *named, by.get("all") is True, by.get("gateway")))

    async def ending(self, sessions: list[str], why: str, *, now: datetime) -> None:
        await self.fetch(ENDING, sessions, why, now)

    async def search(self, text: str, ended: bool) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.fetch(SEARCH, text, ended)]

    async def by_server(self) -> dict[str, dict[str, int]]:
        return {row["server"]: {name: int(row[name]) for name in COUNTS} for row in await self.fetch(BY_SERVER)}

    async def groups(self) -> list[dict[str, str]]:
        return [dict(row) for row in await self.fetch(GROUPS)]

    async def name_of(self, person: str) -> str:
        return next((str(row["name"]) for row in await self.fetch(NAME, person)), person)

    async def add_message(self, id: str, text: dict[str, str], *, sender: str, scope: str, urgent: bool, now: datetime) -> None:
        await self.fetch(ADD_MESSAGE, id, json.dumps(text), sender, scope, urgent, now)

    async def add_receivers(self, message: str, receivers: Sequence[tuple[str, str, int | None]]) -> None:
        columns = [list(column) for column in zip(*receivers, strict=True)] or [[], [], []]
        await self.fetch(ADD_RECEIVER, message, *columns)

    async def seen(self, message: str, session: str, *, now: datetime) -> bool:
        return bool(await self.fetch(SEEN, message, session, now))

    async def messages(self) -> list[dict[str, Any]]:
        return [{**dict(row), "text": json.loads(row["text"])} for row in await self.fetch(MESSAGES)]

    async def forget_messages(self, before: datetime) -> None:
        await self.fetch(FORGET_MESSAGES, before)

    async def policies(self) -> list[SessionPolicy]:
        return [policy_of(row) for row in await self.fetch(POLICIES)]

    async def set_policy(self, policy: SessionPolicy) -> None:
        p = policy
        limits = (p.idle_lock_seconds, p.away_seconds, p.linger_seconds, p.absolute_seconds, p.shadow, p.prelaunch)
        await self.fetch(SET_POLICY, p.hospital, p.grp, p.role, *limits)

    async def forget_policy(self, hospital: str, grp: str, role: str) -> bool:
        return bool(await self.fetch(FORGET_POLICY, hospital, grp, role))

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
        return rows


COUNTS: Final = ("active", "locked", "disconnected", "sessions")
