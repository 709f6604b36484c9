"""Claims in PostgreSQL: short statements, each whole or not at all, and the database's clock for all of them. migrations/003."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.farm.claims import Claim, Claimed, Outcome, PoolNow, Snapshot
from cloister.farm.licences import LEASE, Pool, Usage
from cloister.farm.placement import Server, Session, Wanted
from cloister.farm.queue import ASKED_WITHIN, QueuePlace
from cloister.farm.rows import SESSION_COLUMNS, application_of, group_of, server_of, session_of

START_WITHIN: Final = timedelta(seconds=30)  # a start that takes longer has failed, whatever became of its broker
REFUSALS_KEPT: Final = timedelta(days=30)
USAGE_KEPT: Final = timedelta(days=400)
ROWS_AT_ONCE: Final = 200  # read without a break: about a millisecond
STEADY: Final = timedelta(seconds=60)  # a broker that has had the database so long has heard of every server that lives

SERVERS: Final = """
    select s.id, s.slots, s.state, s.load, s.missing, s.seen, s.memory, s.groups, s.image, s.why,
           s.slots - coalesce(x.taken, 0) as free, coalesce(x.starting, 0) as starting, coalesce(x.fresh, 0) as fresh
      from estate.server s
      left join (select x.server, count(*) as taken, count(*) filter (where x.state = 'starting') as starting,
                        count(*) filter (where x.started > v.seen) as fresh
                   from estate.session x join estate.server v on v.id = x.server where x.state <> 'ended'
                  group by x.server order by x.server limit 2000) x on x.server = s.id
     order by s.id limit 2000"""
APPLICATIONS: Final = "select id, name, kind, settings, sessions_max, each_max from estate.application order by id limit 2000"
GROUPS: Final = """
    select id, name, hospital, image, applications, tolerance, server_max, servers, labels, roles
      from estate.delivery_group order by id limit 1000"""
POOLS: Final = """
    select p.application, p.seats, p.reserve, p.grace, p.grace_days, p.grace_since, p.reserved_for, p.outage, n.*
      from estate.licence_pool p, lateral (
           select count(s.session) filter (where s.number <= p.seats - p.reserve) as n_ordinary,
                  count(s.session) filter (where s.number > p.seats - p.reserve and s.number <= p.seats) as n_reserve,
                  count(s.session) filter (where s.number > p.seats and s.number <= p.seats + p.grace) as n_grace,
                  count(s.session) filter (where s.number > p.seats + p.grace) as n_retired, count(s.broker) as n_kept
             from estate.licence_seat s where s.application = p.application) n
     order by p.application limit 2000"""
NOW: Final = """
    select now() as at,
           array(select b.id from estate.broker b where b.seen > now() - interval '20 seconds' order by b.id limit 100) as brokers"""
CLAIM: Final = """
    select outcome, server, seat, taken, starting from estate.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
        $12::text[], $13::int[], $14::int[], $15::int[], $16::jsonb, $17, $18, $19, $20, $21)"""
WAIT: Final = """
    insert into estate.waiting as w (person, application, label, emergency, reason) values ($1, $2, $3, $4, $5)
    on conflict (person, application, label) do update
       set number = case when w.asked < now() - $6::interval then excluded.number else w.number end,
           since = case when w.asked < now() - $6::interval then now() else w.since end,
           asked = now(), emergency = excluded.emergency, reason = excluded.reason
    returning number, since, emergency"""
PLACE: Final = """
    select count(*) filter (where (not w.emergency, w.number) < (not $3::boolean, $4::bigint)) as before, count(*) as others
      from estate.waiting w where w.application = $1 and w.asked > now() - $5::interval and w.person <> $2"""
LEAVE: Final = "delete from estate.waiting where person = $1 and application = $2 and label = $3"
REFUSED: Final = "insert into estate.refusal (person, application, broker, reason, text) values ($1, $2, $3, $4, $5)"
DECISION: Final = """
    select s.decision, s.server, s.application, s.started, l.number as seat from estate.session s
      left join estate.licence_seat l on l.session = s.id where s.id = $1"""
SET_POOL: Final = """
    insert into estate.licence_pool as p (application, seats, reserve, grace, grace_days, reserved_for, outage)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (application) do update set seats = excluded.seats, reserve = excluded.reserve, grace = excluded.grace,
        grace_days = excluded.grace_days, grace_since = null, reserved_for = excluded.reserved_for, outage = excluded.outage"""
ADD_SEATS: Final = """
    insert into estate.licence_seat (application, number) select $1, n from generate_series(1, $2::int) n on conflict do nothing"""
DROP_SEATS: Final = "delete from estate.licence_seat where application = $1 and number > $2 and session is null and broker is null"
# Sessions that began before the pool was set are counted too, as far as there are seats: the rest is over the licence, and shown as such.
SEAT_THE_LIVING: Final = """
    select estate.take_seat($1, s.id, null, true, 0, $2::interval) from estate.session s
     where s.application = $1 and s.state <> 'ended' and not exists (select from estate.licence_seat l where l.session = s.id)
     order by s.started, s.id"""
DROP_POOL: Final = "delete from estate.licence_pool where application = $1 returning application"

CHANGED: Final = f"""
    select {SESSION_COLUMNS} from estate.session where ($1::timestamptz is null and state <> 'ended') or changed >= $1
     order by changed limit 100000"""
KEPT_SEATS: Final = "select application, number from estate.licence_seat where broker = $1 order by application, number limit 100000"
ADOPT: Final = "select estate.adopt($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) as outcome"
MERGE: Final = """
    update estate.session set epoch = greatest(epoch, $2), slot = coalesce(slot, $3), state = $4, why = $5, changed = now()
     where id = $1 and state <> 'ended'"""
BEAT: Final = """
    insert into estate.broker as b (id) values ($1) on conflict (id) do update
       set since = case when b.seen < now() - interval '20 seconds' then now() else b.since end, seen = now()
    returning now() - since >= $2::interval as steady"""
# Whoever reported lately has its leases renewed, in one statement and at most twice in a lease.
RENEW: Final = """
    update estate.licence_seat l set expires = now() + $1::interval
      from estate.session x join estate.server v on v.id = x.server
     where x.id = l.session and l.expires < now() + $1::interval / 2 and v.seen > now() - interval '30 seconds'"""
RENEW_KEPT: Final = "update estate.licence_seat set expires = now() + $2::interval where broker = $1"
# Over by the database's clock: the session that nobody has vouched for is ended, which gives its seat back (trigger).
END_OVERDUE: Final = """
    update estate.session x set state = 'ended', why = 'lease-over', changed = now()
      from estate.licence_seat l where l.session = x.id and l.expires < now() and x.state <> 'ended'"""
FREE_KEPT: Final = """
    update estate.licence_seat l set broker = null, expires = null
     where broker is not null and expires < now()
       and not exists (select from estate.broker b where b.id = l.broker and b.seen > now() - interval '60 seconds')"""
# A broker died between the claim and the agent's answer.
END_UNSTARTED: Final = """
    update estate.session set state = 'ended', why = 'start-lost', changed = now()
     where state = 'starting' and slot is null and started < now() - $1::interval returning id, server"""
FORGET_WAITING: Final = "delete from estate.waiting where asked < now() - interval '10 minutes'"
FORGET_REFUSALS: Final = "delete from estate.refusal where at < now() - $1::interval"
FORGET_USAGE: Final = "delete from estate.licence_usage where at < now() - $1::interval"
FORGET_BROKERS: Final = "delete from estate.broker where seen < now() - interval '1 day'"
SAMPLE: Final = """
    insert into estate.licence_usage as u (application, at, seats, used, reserve, grace, waiting)
    select p.application, date_bin('5 minutes', now(), '2000-01-01'), p.seats, count(s.session),
           count(s.session) filter (where s.number > p.seats - p.reserve and s.number <= p.seats),
           count(s.session) filter (where s.number > p.seats),
           (select count(*) from estate.waiting w where w.application = p.application and w.asked > now() - $1::interval
               and w.reason = 'licences')
      from estate.licence_pool p left join estate.licence_seat s on s.application = p.application group by p.application
    on conflict (application, at) do update set seats = excluded.seats, used = greatest(u.used, excluded.used),
        reserve = greatest(u.reserve, excluded.reserve), grace = greatest(u.grace, excluded.grace),
        waiting = greatest(u.waiting, excluded.waiting)"""
KEEP_MORE: Final = """
    select estate.take_seat(p.application, null, $1, false, random(), $2::interval) as seat from estate.licence_pool p,
           lateral (select count(*) as n from estate.licence_seat s where s.application = p.application and s.broker = $1) kept,
           lateral generate_series(1, least(p.outage - kept.n, 200)) g
     where p.outage > kept.n
       and (select count(*) from estate.licence_seat s where s.application = p.application and s.session is null and s.broker is null
               and s.number <= p.seats - p.reserve) > p.seats / 20 + p.outage"""
# Kept seats are for the outage, not to be lacked by people meanwhile.
KEEP_LESS: Final = """
    update estate.licence_seat l set broker = null, expires = null from estate.licence_pool p
     where l.broker = $1 and p.application = l.application
       and (l.number > p.seats - p.reserve or p.outage = 0
            or exists (select from estate.waiting w where w.application = p.application and w.asked > now() - $2::interval
                          and w.reason = 'licences'))"""


class EstateClaims:
    """The part of the estate's store that places; `_fetch` is its other part's."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Any, Server]] = {}  # rows as they were read last: most have not changed since

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        raise NotImplementedError

    async def snapshot(self, *, now: datetime) -> Snapshot:
        (first,) = await self._fetch(NOW)
        servers = await self.servers()
        groups = [group_of(row) for row in await self._fetch(GROUPS)]
        applications = [application_of(row) for row in await self._fetch(APPLICATIONS)]
        pools = [_pool(row) for row in await self._fetch(POOLS)]
        return Snapshot(
            at=first["at"],
            brokers=tuple(first["brokers"]),
            servers={one.id: one for one in servers},
            groups={one.id: one for one in groups},
            applications={one.id: one for one in applications},
            pools={one.pool.application: one for one in pools},
        )

    async def servers(self) -> list[Server]:
        """Of many rows a few at a time: meanwhile the process does what else is due, and nobody waits for all of them."""
        found: list[Server] = []
        read: dict[str, tuple[Any, Server]] = {}
        for number, row in enumerate(await self._fetch(SERVERS), start=1):
            known = self._read.get(row["id"])
            pair = known if known is not None and known[0] == row else (row, server_of(row))
            read[row["id"]] = pair
            found.append(pair[1])
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._read = read
        return found

    async def claim(self, claim: Claim, *, now: datetime) -> Claimed:
        c, w = claim, claim.wanted
        servers = [one.server for one in c.candidates]
        (row,) = await self._fetch(
            CLAIM, c.session, w.person, w.role, str(w.kind), w.label, c.application.id, c.broker,
            c.each_max, c.person_max, c.application.sessions_max, c.room,
            servers, [one.taken for one in c.candidates], [one.limit for one in c.candidates], [one.tolerance for one in c.candidates],
            json.dumps(c.decision), w.emergency, random.random(), LEASE, ASKED_WITHIN, START_WITHIN,
        )  # fmt: skip
        taken, starting = row["taken"] or (), row["starting"] or ()
        held = {server: (n, s) for server, n, s in zip(servers, taken, starting, strict=False)}
        return Claimed(outcome=Outcome(row["outcome"]), server=row["server"] or "", seat=row["seat"], held=held)

    async def wait(self, wanted: Wanted, reason: str, *, now: datetime) -> QueuePlace:
        w = wanted
        (mine,) = await self._fetch(WAIT, w.person, w.application, w.label, w.emergency, reason, ASKED_WITHIN)
        (row,) = await self._fetch(PLACE, w.application, w.person, mine["emergency"], mine["number"], ASKED_WITHIN)
        return QueuePlace(place=1 + row["before"], of=1 + row["others"], since=mine["since"])

    async def leave(self, wanted: Wanted) -> None:
        await self._fetch(LEAVE, wanted.person, wanted.application, wanted.label)

    async def refused(self, wanted: Wanted, broker: str, reason: str, text: str, *, now: datetime) -> None:
        await self._fetch(REFUSED, wanted.person, wanted.application, broker, reason, text[:400])

    async def decision(self, session: str) -> dict[str, Any]:
        """What was recorded of a placement; empty when there is no such session."""
        rows = await self._fetch(DECISION, session)
        if not rows:
            return {}
        row = dict(rows[0])
        return {**json.loads(row.pop("decision")), **row}

    async def set_pool(self, pool: Pool) -> None:
        """Grace begins anew. Seats that are held above the new count stay with their holders until these end."""
        p = pool
        await self._fetch(SET_POOL, p.application, p.seats, p.reserve, p.grace, p.grace_days, list(p.reserved_for), p.outage)
        await self._fetch(ADD_SEATS, p.application, p.seats + p.grace)
        await self._fetch(DROP_SEATS, p.application, p.seats + p.grace)
        await self._fetch(SEAT_THE_LIVING, p.application, LEASE)

    async def drop_pool(self, application: str) -> None:
        await self._fetch(DROP_POOL, application)

    async def changed(self, since: datetime | None) -> list[Session]:
        """The sessions that changed since then, also those that ended; at first all that live. Read a few at a time."""
        found: list[Session] = []
        for number, row in enumerate(await self._fetch(CHANGED, since), start=1):
            found.append(session_of(row))
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    async def kept_seats(self, broker: str) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for row in await self._fetch(KEPT_SEATS, broker):
            found.setdefault(row["application"], set()).add(row["number"])
        return found

    async def adopt(self, row: Session, broker: str, seat: int | None) -> str:
        """A session that its server has and the database does not know: adopted, known, double or licences (ended for want of one)."""
        r = row
        whose = (r.id, r.person, r.role, str(r.kind), r.label, r.application, r.server, r.slot, r.epoch, str(r.state), r.started)
        (found,) = await self._fetch(ADOPT, *whose, broker, seat, LEASE)
        return str(found["outcome"])

    async def merge(self, row: Session) -> None:
        """What became of a known session while the database was away."""
        await self._fetch(MERGE, row.id, row.epoch, row.slot, str(row.state), row.why)

    async def tend(self, broker: str, *, now: datetime) -> list[str]:
        """What any broker does every few seconds; the sessions whose start was lost, as 'server session'.

        Only a broker that has had the database for STEADY judges what is over: after an outage the servers are heard first.
        """
        (mine,) = await self._fetch(BEAT, broker, STEADY)
        await self._fetch(RENEW, LEASE)
        await self._fetch(RENEW_KEPT, broker, LEASE)
        await self._fetch(KEEP_LESS, broker, ASKED_WITHIN)
        await self._fetch(KEEP_MORE, broker, LEASE)
        await self._fetch(SAMPLE, ASKED_WITHIN)
        if not mine["steady"]:
            return []
        for sql in (END_OVERDUE, FREE_KEPT, FORGET_WAITING, FORGET_BROKERS):
            await self._fetch(sql)
        await self._fetch(FORGET_REFUSALS, REFUSALS_KEPT)
        await self._fetch(FORGET_USAGE, USAGE_KEPT)
        return [f"{row['server']} {row['id']}" for row in await self._fetch(END_UNSTARTED, START_WITHIN)]


def _pool(row: Any) -> PoolNow:
    fields = dict(row)
    counts = {name.removeprefix("n_"): fields.pop(name) for name in list(fields) if name.startswith("n_")}
    return PoolNow(pool=Pool(**{**fields, "reserved_for": tuple(fields["reserved_for"])}), used=Usage(**counts))
