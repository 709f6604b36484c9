"""Directories synchronised, page by page and only what changed; who was closed there has no session here a moment later.

Each controller tries every half minute; a row's `turn` lets one of them do it. What is new becomes proposals for officers (proposals.py):
nothing that a directory says grants, links or opens anything by itself. When no directory answers, everybody whom it knew works on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock, iso
from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.farm import Broker
from cloister.gateway.directory.directories import Directories
from cloister.gateway.directory.ldap import Directory, Ldap
from cloister.gateway.directory.schemas import Account, Group
from cloister.gateway.kept import Queries
from cloister.gateway.rounds import every

EVERY_SECONDS: Final = 20.0
TURN: Final = timedelta(seconds=60)
FULL_EVERY: Final = timedelta(hours=1)
TAKE: Final = """
    update estate.directory set turn = $2 where id = $1 and (turn is null or turn < $3) returning source, cursor"""
DONE: Final = "update estate.directory set source = $2, cursor = $3, seen = $4, fault = '', turn = null where id = $1"
FAILED: Final = "update estate.directory set fault = $2, turn = null where id = $1"
PUT: Final = """
    insert into estate.directory_account as a (directory, id, account, upn, dn, name, mail, disabled, ends)
    select $1, r ->> 'id', r ->> 'account', r ->> 'upn', r ->> 'dn', r ->> 'name', r ->> 'mail', (r ->> 'disabled')::boolean,
           (r ->> 'ends')::timestamptz
      from jsonb_array_elements($2::text::jsonb) r
    on conflict (directory, id) do update set account = excluded.account, upn = excluded.upn, dn = excluded.dn, name = excluded.name,
        mail = excluded.mail, disabled = excluded.disabled, ends = excluded.ends, changed = now()
     where (a.account, a.upn, a.dn, a.name, a.mail, a.disabled, a.ends) is distinct from
           (excluded.account, excluded.upn, excluded.dn, excluded.name, excluded.mail, excluded.disabled, excluded.ends)"""
# A day that was known in advance has come: the directory itself changes nothing then, so nothing new would be read.
ENDED: Final = "update estate.directory_account set disabled = true, changed = now() where not disabled and ends <= $1"
MISSING: Final = """
    update estate.directory_account set disabled = true, changed = now() where directory = $1 and not disabled and not id = any ($2)"""
# Of a new account: a person of the same sign-in name may be the same one; an officer looks. Of nobody here: somebody to enrol.
PROPOSE: Final = """
    insert into estate.directory_proposal (source, kind, account, name, what)
    select a.directory, case when p.id is null then 'person' else 'link' end, a.id, a.name, coalesce(p.sign_in, lower(a.account))
      from estate.directory_account a left join trust.person p on p.sign_in = lower(a.account) and p.kind = 'person'
     where a.directory = $1 and a.id = any ($2) and a.person is null and not a.disabled
       and not exists (select from estate.directory_proposal o
                        where o.source = a.directory and o.account = a.id and o.kind in ('link', 'person'))
    on conflict do nothing"""
MEMBERS: Final = """
    with was as (select id, groups ? $2 as before from estate.directory_account where directory = $1),
    moved as (
        update estate.directory_account a
           set groups = case when a.id = any ($3) then a.groups || to_jsonb($2::text) else a.groups - $2 end, changed = now()
          from was where a.directory = $1 and was.id = a.id and was.before <> (a.id = any ($3)) returning a.id, a.name, a.person)
    insert into estate.directory_proposal (source, kind, account, name, what)
    select $1, case when id = any ($3) then 'join' else 'leave' end, id, name, $2 from moved where person is not null
    on conflict do nothing"""
CLOSED: Final = "select distinct person from estate.directory_account where disabled and person = any ($1)"


class Synchronising:
    def __init__(self, queries: Queries, directories: Directories, broker: Broker, clock: Clock) -> None:
        self._queries = queries
        self._directories = directories
        self._broker = broker
        self._clock = clock
        self._whole: dict[str, datetime] = {}

    async def run(self) -> None:
        """For ever."""
        await every(EVERY_SECONDS, self.once, event="directory.fault")

    async def once(self) -> None:
        await asyncio.gather(*(self._turn(one) for one in await self._directories.all()))
        await self.end_closed()

    async def _turn(self, directory: Directory) -> None:
        now = self._clock()
        row = await self._queries.fetchrow(TAKE, directory.id, now + TURN, now)
        if row is None:
            return
        try:
            await self._synchronised(directory, str(row["source"]), int(row["cursor"]), now)
        except CloisterError as fault:
            log("directory.away", level="warning", directory=directory.id, text=fault.text)
            await self._queries.fetch(FAILED, directory.id, fault.text[:300])

    async def _synchronised(self, directory: Directory, source: str, cursor: int, now: datetime) -> None:
        ldap = Ldap(directory)
        found = await asyncio.to_thread(ldap.changed, source, cursor)
        await self._put(directory.id, found.accounts, found.groups, now)
        last = self._whole.get(directory.id)
        if found.anew or last is None or now - last >= FULL_EVERY:
            people = await asyncio.to_thread(ldap.people)
            await self._put(directory.id, people, (), now)
            await self._queries.fetch(MISSING, directory.id, sorted(one.id for one in people))
            self._whole[directory.id] = now
        await self._queries.fetch(DONE, directory.id, found.source, found.cursor, self._clock())

    async def _put(self, directory: str, accounts: Sequence[Account], groups: Sequence[Group], now: datetime) -> None:
        for start in range(0, len(accounts), 1000):
            part = accounts[start : start + 1000]
            await self._queries.fetch(PUT, directory, json.dumps([_row(one, now) for one in part]))
            await self._queries.fetch(PROPOSE, directory, [one.id for one in part])
        for group in groups:
            await self._queries.fetch(MEMBERS, directory, group.name, sorted(group.members))

    async def end_closed(self) -> None:
        """Sessions of people whose account is closed end, whoever synchronised it."""
        await self._queries.fetch(ENDED, self._clock())
        live = [one for one in await self._broker.list_sessions() if one.kind == "person"]
        closed: set[Any] = {row["person"] for row in await self._queries.fetch(CLOSED, sorted({one.person for one in live}))}
        for one in live:
            if one.person in closed:
                log("directory.closed", session=one.id)
                try:
                    await self._broker.end_session(one.id, "directory-account-closed")
                except CloisterError as gone:  # it ended by itself, or its server does not answer: the next turn tries again
                    log("directory.not_ended", level="warning", session=one.id, text=gone.text)


def _row(one: Account, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id, "account": one.account, "upn": one.upn, "dn": one.dn, "name": one.name, "mail": one.mail, "disabled": one.closed(now),
        "ends": iso(one.ends) if one.ends is not None else None,
    }  # fmt: skip
