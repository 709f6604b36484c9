"""Subscriptions and what is to be told for them. docs/subscriptions.md.

The gate knows types, programs and counts. Whether something matches is decided in a session that opens both the subscription
and what was written; that it is told is decided here, by the zones of the subscribing program as they are at that moment.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict
from cloister.records.gate.statement import Arguments, Call, Medium, RowId, Small, Statement, visible

TAKEN_AT_ONCE: Final = 200
DUE_AT_ONCE: Final = 100
LEASE: Final = "30 seconds"
SEALED_BYTES_MAX: Final = 200_000

HOSTS: Final = "select host, port from outbound.host order by host, port limit 1000"
# What its resource says is not what it should say: it asks to begin, or its channel has failed, recovered or ended.
DUE: Final = f"""
    select s.dossier, s.id, s.ver, s.state, w.state, coalesce(c.error, '')
      from care.subscription s left join outbound.channel c on c.dossier = s.dossier and c.id = s.id
     cross join lateral (select case when s.state = 'requested' then 'requested'
         when c.state is null or c.state in ('dead', 'off') or c.expires < now() then 'off'
         when c.tries > 0 and c.error <> '' then 'error' else 'active' end as state) w
     where (s.state = 'requested' or (s.state <> 'off' and s.owner = $2 and w.state <> s.state)) and {visible("s.dossier")}
     order by s.dossier, s.id limit {DUE_AT_ONCE}"""
OWN: Final = "select count(*)::int4 from care.subscription where owner = $1 and state in ('active', 'error')"
TAKE: Final = f"""
    update care.notice n set session = $2, until = now() + interval '{LEASE}'
     where (n.dossier, n.subscribed, n.subscription, n.rtype, n.id) in (
           select m.dossier, m.subscribed, m.subscription, m.rtype, m.id from care.notice m
            where (m.until is null or m.until < now()) and {visible("m.dossier")} and {visible("m.subscribed")}
            order by m.made limit {TAKEN_AT_ONCE} for update skip locked)
    returning n.dossier, n.subscribed, n.subscription, n.rtype, n.id, n.ver,
              (select s.owner from care.subscription s where s.dossier = n.subscribed and s.id = n.subscription)"""
# Told only if the program itself can open the dossier now; otherwise it never was.
DONE: Final = """
    with gone as (
        delete from care.notice n
         using unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::int2[], $6::uuid[], $7::int4[], $8::bool[])
               w (dossier, subscribed, subscription, rtype, id, ver, matched)
         where n.dossier = w.dossier and n.subscribed = w.subscribed and n.subscription = w.subscription and n.rtype = w.rtype
           and n.id = w.id and n.ver = w.ver and n.session = $1
        returning n.dossier, n.subscribed, n.subscription, w.matched
    ), hit as (
        select g.subscribed, g.subscription, count(*) as n
          from gone g join care.subscription s on s.dossier = g.subscribed and s.id = g.subscription
         where g.matched
           and exists (select from care.dossier_key k where k.dossier = g.dossier and k.zone in (select trust.zones_of(s.owner, '')))
         group by g.subscribed, g.subscription
    ), told as (
        update outbound.channel c set events = c.events + h.n, state = case c.state when 'idle' then 'waiting' else c.state end,
               due = case c.state when 'idle' then now() else c.due end, since = case c.state when 'idle' then now() else c.since end
          from hit h where c.dossier = h.subscribed and c.id = h.subscription and (c.expires is null or c.expires > now())
        returning c.id
    )
    select pg_notify('cloister_outbound', '') from told limit 1"""
SETTLE: Final = f"""
    update care.subscription s set state = $5, rtype = coalesce($6, s.rtype), owner = $7
     where s.dossier = $2 and s.id = $3 and s.ver = $4 and {visible("s.dossier")}
       and ($6::int2 is not null or s.owner = $7 or s.owner is null)
    returning s.id"""
OPEN: Final = """
    insert into outbound.channel (dossier, id, owner, sealed, expires) values ($1, $2, $3, $4, $5)
    on conflict (dossier, id) do update set owner = excluded.owner, sealed = excluded.sealed, expires = excluded.expires,
        tries = 0, error = '', due = now(), trying = outbound.channel.sent,
        sent = case when outbound.channel.owner = excluded.owner then outbound.channel.sent else outbound.channel.events end,
        state = case when outbound.channel.owner = excluded.owner and outbound.channel.events > outbound.channel.sent
                     then 'waiting' else 'idle' end
    returning id"""
# A dead letter stays until the operator has seen it.
END: Final = """
    with gone as (delete from care.notice where subscribed = $1 and subscription = $2)
    update outbound.channel set state = 'off', sent = events where dossier = $1 and id = $2 and state <> 'dead'"""
STATUS: Final = f"""
    select c.events, c.sent, c.error, c.state from outbound.channel c
     where c.dossier = $2 and c.id = $3 and {visible("c.dossier")}"""

_Bounded = Meta(max_length=TAKEN_AT_ONCE)


class Nothing(Arguments):
    pass


class NoticesDone(Arguments):
    dossier: Annotated[list[RowId], _Bounded]
    subscribed: Annotated[list[RowId], _Bounded]
    subscription: Annotated[list[RowId], _Bounded]
    rtype: Annotated[list[Small], _Bounded]
    id: Annotated[list[RowId], _Bounded]
    ver: Annotated[list[Medium], _Bounded]
    matched: Annotated[list[bool], _Bounded]


class Settled(Arguments):
    """`sealed`: the channel, for one that becomes active. `until`: an instant after which it ends; empty: never."""

    dossier: RowId
    id: RowId
    ver: Medium
    state: Annotated[str, Meta(pattern="^(active|error|off)$")]
    rtype: Annotated[int, Meta(ge=0, lt=2**15)] | None = None
    sealed: Annotated[bytes, Meta(max_length=SEALED_BYTES_MAX)] = b""
    until: Annotated[str, Meta(max_length=40)] = ""


class Place(Arguments):
    dossier: RowId
    id: RowId


async def outbound_hosts(call: Call, arguments: Nothing) -> Any:
    """[[host, port], …] that the operator allows."""
    return [[*row] for row in await call.database.fetch(HOSTS)]


async def notices_take(call: Call, arguments: Nothing) -> Any:
    """What there is to do: how many subscriptions are this program's own, whose status is to be written, what is to be looked at.

    "notices" are leased to this session.
    """
    if await call.asked.nobody():
        return {"own": 0, "due": [], "notices": []}
    due = await call.database.fetch(DUE, call.zones, call.person)
    taken = await call.database.fetch(TAKE, call.zones, call.session)
    own = await call.database.fetchval(OWN, call.person)
    return {"own": own, "due": [[*row] for row in due], "notices": [[*row] for row in taken]}


async def notices_done(call: Call, arguments: NoticesDone) -> None:
    """What matched is counted for its subscription, if the subscribing program can open it; the notices are gone."""
    a = arguments
    await call.database.execute(DONE, call.session, a.dossier, a.subscribed, a.subscription, a.rtype, a.id, a.ver, a.matched)


async def subscription_settled(call: Call, arguments: Settled) -> None:
    """The status that this version says is the true one; of the calling program alone. Conflict when there is a newer version."""
    a = arguments
    steps: list[tuple[str, tuple[Any, ...]]] = [(SETTLE, (call.zones, a.dossier, a.id, a.ver, a.state, a.rtype, call.person))]
    if a.sealed:
        ends = datetime.fromisoformat(a.until) if a.until else None
        steps.append((OPEN, (a.dossier, a.id, call.person, a.sealed, ends)))
    try:
        await call.database.together(steps)
    except asyncpg.NoDataFoundError:
        raise Conflict("The subscription has changed in the meantime.", hint="Read it again.", reason="version") from None
    if a.state == "off":
        await call.database.execute(END, a.dossier, a.id)
    elif a.sealed:
        await call.database.execute("select pg_notify('cloister_outbound', '')")


async def subscription_status(call: Call, arguments: Place) -> Any:
    """[events that matched, those that were told, why the last attempt failed, the channel's state], or None."""
    row = await call.database.fetchrow(STATUS, call.zones, arguments.dossier, arguments.id)
    return [*row] if row is not None else None


STATEMENTS: Final = (
    Statement("outbound_hosts", Nothing, outbound_hosts),
    Statement("notices_take", Nothing, notices_take),
    Statement("notices_done", NoticesDone, notices_done, noted_first=False),
    Statement("subscription_settled", Settled, subscription_settled, noted_first=False),
    Statement("subscription_status", Place, subscription_status),
)
