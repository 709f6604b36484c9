"""The rows of power: policies, machines, samples, what was planned and what was done. No credentials: see machines_file.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from cloister.base.database import LOST
from cloister.base.errors import Unavailable
from cloister.farm.power.forecast import Sample
from cloister.farm.power.plan import Plan
from cloister.farm.power.policy import PowerPolicy, policy_from
from cloister.farm.power.states import PowerState

POLICIES: Final = "select grp, policy from estate.power_policy order by grp limit 1000"
SET_POLICY: Final = """
    insert into estate.power_policy (grp, policy) values ($1, $2)
    on conflict (grp) do update set policy = excluded.policy, changed = now()"""
DROP_POLICY: Final = "delete from estate.power_policy where grp = $1 returning grp"
MACHINES: Final = """
    select m.server, m.grp, m.driver, m.state, m.since, m.failures, m.wish, m.restart, m.boot_seconds, m.text,
           s.state as server_state, s.seen, s.slots, s.image, g.image as wanted_image, h.started,
           (select coalesce(jsonb_agg(d.cause order by d.cause), '[]') from estate.drain d where d.server = m.server) as causes,
           coalesce(x.sessions, 0) as sessions, coalesce(x.attended, 0) as attended
      from estate.power_machine m left join estate.server s on s.id = m.server left join estate.health h on h.server = m.server
      left join estate.delivery_group g on g.id = m.grp
      left join (select server, count(*) as sessions, count(*) filter (where state in ('starting', 'active')) as attended
                   from estate.session where state <> 'ended' group by server order by server limit 5000) x on x.server = m.server
     order by m.grp, m.server limit 5000"""
KNOW: Final = """
    insert into estate.power_machine (server, grp, driver, state, since) values ($1, $2, $3, $4, $5)
    on conflict (server) do update set grp = excluded.grp, driver = excluded.driver"""
FORGET: Final = "delete from estate.power_machine where server <> all ($1)"
SET_POWER: Final = """
    update estate.power_machine set state = $3, since = $4, failures = $5, boot_seconds = $6, text = $7
     where server = $1 and state = $2 returning server"""
WISH: Final = "update estate.power_machine set wish = $2, failures = 0 where server = $1 returning server"
RESTART: Final = "update estate.power_machine set restart = $2 where server = $1 returning server"
SAMPLE: Final = """
    insert into estate.load_sample (grp, at, held, begun)
    select g.id, $1::timestamptz,
           (select count(*) from estate.session x join estate.server s on s.id = x.server
             where g.id = any (s.groups) and x.state <> 'ended'),
           (select count(*) from estate.session x join estate.server s on s.id = x.server where g.id = any (s.groups)
               and x.started >= $1::timestamptz - make_interval(secs => 300) and x.started < $1)
      from (select distinct unnest(groups) as id from estate.server limit 1000) g
    on conflict do nothing"""
# A day is reckoned wide here, by UTC and a day around it: what exactly is a holiday, the forecast decides in the policy's own zone.
SAMPLES: Final = """
    select grp, at, held, begun from estate.load_sample s
     where at >= $1 or exists (select from unnest($2::date[]) d where s.at >= d - interval '1 day' and s.at < d + interval '2 days')
     order by grp, at limit 1000000"""
FORGET_OLD: Final = """
    delete from estate.load_sample s
     where at < $1
       and not exists (select from unnest($2::date[]) d where s.at >= d - interval '1 day' and s.at < d + interval '2 days')"""
FORGET_TURNS: Final = "delete from estate.power_turn where at < $1"
FORGET_STEPS: Final = "delete from estate.power_step where at < $1"
ADD_TURN: Final = """
    insert into estate.power_turn (grp, at, wanted, later, ready, coming, emptying, running, held, expected, short, too_many_since,
        needed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict do nothing"""
TURNS: Final = """
    select grp, at, wanted, later, ready, coming, emptying, running, held, expected, short, too_many_since from estate.power_turn
     where at >= $1 and ($2 = '' or grp = $2) order by grp, at limit 100000"""
LAST_TURNS: Final = """
    select distinct on (grp) grp, at, wanted, later, ready, coming, emptying, running, held, expected, short, too_many_since
      from estate.power_turn order by grp, at desc limit 1000"""
ADD_STEP: Final = "insert into estate.power_step (at, server, action, why, outcome) values ($1, $2, $3, $4, $5)"
STEPS: Final = "select at, server, action, why, outcome from estate.power_step order by id desc limit $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A machine with what the estate knows of its server."""

    server: str
    group: str
    driver: str
    state: PowerState
    since: datetime
    failures: int
    wish: str
    restart: bool
    boot_seconds: float
    text: str
    server_state: str  # empty: it never said hello
    seen: datetime | None
    started: datetime | None
    slots: int
    outdated: bool
    causes: tuple[str, ...]
    sessions: int
    attended: int


class PowerStore:
    """A pool as role `cloister_estate`, or a connection of the owner. Raises Unavailable when the database is away."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def policies(self) -> dict[str, PowerPolicy]:
        return {row["grp"]: policy_from(json.loads(row["policy"])) for row in await self._fetch(POLICIES)}

    async def set_policy(self, group: str, policy: PowerPolicy) -> None:
        await self._fetch(SET_POLICY, group, json.dumps(policy.as_json()))

    async def drop_policy(self, group: str) -> bool:
        return bool(await self._fetch(DROP_POLICY, group))

    async def machines(self) -> list[Row]:
        return [_row(row) for row in await self._fetch(MACHINES)]

    async def know(self, server: str, group: str, driver: str, state: PowerState, *, now: datetime) -> None:
        """A machine of the machines file; what is known of its power already stays."""
        await self._fetch(KNOW, server, group, driver, state, now)

    async def forget_others(self, servers: Sequence[str]) -> None:
        await self._fetch(FORGET, list(servers))

    async def set_power(self, row: Row, state: PowerState, *, failures: int, boot_seconds: float, text: str, now: datetime) -> bool:
        return bool(await self._fetch(SET_POWER, row.server, row.state, state, now, failures, boot_seconds, text[:200]))

    async def wish(self, server: str, wish: str) -> bool:
        """on, off or auto; what failed before is forgiven."""
        return bool(await self._fetch(WISH, server, wish))

    async def want_restart(self, server: str, wanted: bool) -> bool:
        return bool(await self._fetch(RESTART, server, wanted))

    async def sample(self, at: datetime) -> None:
        """Sessions held by each group now, and begun in the five minutes before."""
        await self._fetch(SAMPLE, at)

    async def samples(self, since: datetime, holidays: Sequence[date]) -> dict[str, list[Sample]]:
        """By group; those since then, and those about these days, however long ago."""
        found: dict[str, list[Sample]] = {}
        for row in await self._fetch(SAMPLES, since, list(holidays)):
            found.setdefault(row["grp"], []).append(Sample(at=row["at"], held=row["held"], begun=row["begun"]))
        return found

    async def forget(self, samples_before: datetime, holidays: Sequence[date], turns_before: datetime) -> None:
        await self._fetch(FORGET_OLD, samples_before, list(holidays))
        await self._fetch(FORGET_TURNS, turns_before)
        await self._fetch(FORGET_STEPS, turns_before)

    async def add_turn(self, group: str, plan: Plan, *, emptying: int, running: int, held: int, now: datetime) -> None:
        p = plan
        values = (p.wanted, p.wanted_later, p.ready, p.coming, emptying, running, held, p.expected, p.short, p.too_many_since, p.needed)
        await self._fetch(ADD_TURN, group, now, *values)

    async def turns(self, since: datetime, group: str = "") -> list[dict[str, Any]]:
        """Power history, for the console: one row a minute and group."""
        return [dict(row) for row in await self._fetch(TURNS, since, group)]

    async def last_turns(self) -> dict[str, dict[str, Any]]:
        """The newest plan of each group."""
        return {row["grp"]: dict(row) for row in await self._fetch(LAST_TURNS)}

    async def add_step(self, server: str, action: str, why: str, outcome: str, *, now: datetime) -> None:
        await self._fetch(ADD_STEP, now, server, action, why[:200], outcome[:200])

    async def steps(self, most: int = 50) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._fetch(STEPS, most)]

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
        return rows


def _row(row: Any) -> Row:
    wanted = row["wanted_image"] or ""
    return Row(
        server=row["server"], group=row["grp"], driver=row["driver"], state=PowerState(row["state"]), since=row["since"],
        failures=row["failures"], wish=row["wish"], restart=row["restart"], boot_seconds=row["boot_seconds"], text=row["text"],
        server_state=row["server_state"] or "", seen=row["seen"], started=row["started"], slots=row["slots"] or 0,
        outdated=bool(wanted) and row["image"] is not None and row["image"] != wanted, causes=tuple(json.loads(row["causes"])),
        sessions=row["sessions"], attended=row["attended"],
    )  # fmt: skip
