"""The rows of upkeep: drains, health, illnesses, windows, rolling maintenance. No patient data, no keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.base.database import LOST
from cloister.base.errors import Conflict, Unavailable
from cloister.farm.maintenance.health import Ailment, Facts, Illness, facts_from
from cloister.farm.maintenance.rolling import Turn
from cloister.farm.maintenance.states import ServerEvent, step
from cloister.farm.maintenance.windows import Window
from cloister.farm.placement import ServerState

LEAVE_SECONDS: Final = 300  # of a session that nobody looks at, where no policy says otherwise

SERVERS: Final = """
    select s.id, s.groups, s.state, s.why, s.seen, s.slots, h.facts, h.instance, h.started, i.ailment, i.since, i.well_since,
           (select count(*) from estate.session x where x.server = s.id and x.state <> 'ended') as sessions,
           (select coalesce(jsonb_agg(d.cause order by d.cause), '[]') from estate.drain d where d.server = s.id) as causes
      from estate.server s left join estate.health h on h.server = s.id left join estate.illness i on i.server = s.id
     order by s.id limit 2000"""
SET_STATE: Final = "update estate.server set state = $3, why = $4 where id = $1 and state = $2 returning id"
HEARD: Final = """
    insert into estate.health as h (server, facts, instance, started) values ($1, $2, $3, coalesce($4, now()))
    on conflict (server) do update set facts = excluded.facts,
        started = case when excluded.instance in ('', h.instance) then h.started else excluded.started end,
        instance = case when excluded.instance = '' then h.instance else excluded.instance end"""
ILL: Final = """
    insert into estate.illness (server, ailment, since, well_since) values ($1, $2, $3, $4)
    on conflict (server) do update set ailment = excluded.ailment, since = excluded.since, well_since = excluded.well_since"""
CURED: Final = "delete from estate.illness where server = $1"
DRAIN: Final = """
    insert into estate.drain as d (server, cause, by_whom, asked, deadline, message, leave) values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (server, cause) do update set by_whom = excluded.by_whom, asked = excluded.asked, deadline = excluded.deadline,
        message = excluded.message, leave = excluded.leave, told = null"""
UNDRAIN: Final = "delete from estate.drain where server = $1 and ($2 = '' or cause = $2) returning cause"
DRAINS: Final = "select server, cause, by_whom, asked, deadline, message, leave, told from estate.drain order by server, cause limit 5000"
TOLD: Final = "update estate.drain set told = $3 where server = $1 and cause = $2"
HELD: Final = """
    select id, server, state, started, changed from estate.session
     where server = any ($1) and state <> 'ended' order by server, id limit 20000"""
WINDOWS: Final = """
    select id, grp, days, on_date, start, minutes, zone, percent, deadline, message, restart, last
      from estate.maintenance_window order by grp, id limit 1000"""
PUT_WINDOW: Final = """
    insert into estate.maintenance_window (id, grp, days, on_date, start, minutes, zone, percent, deadline, message, restart)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    on conflict (id) do update set grp = excluded.grp, days = excluded.days, on_date = excluded.on_date, start = excluded.start,
        minutes = excluded.minutes, zone = excluded.zone, percent = excluded.percent, deadline = excluded.deadline,
        message = excluded.message, restart = excluded.restart"""
DROP_WINDOW: Final = "delete from estate.maintenance_window where id = $1 returning id"
BEGUN: Final = "update estate.maintenance_window set last = $2 where id = $1"
ROLLINGS: Final = """
    select id, grp, percent, deadline, message, restart, by_whom, began, ended from estate.rolling
     where ended is null or $1 order by began desc, id limit 200"""
ROLL: Final = """
    insert into estate.rolling (id, grp, percent, deadline, message, restart, by_whom, began) values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict do nothing returning id"""
ROLL_MEMBERS: Final = """
    insert into estate.rolling_member (rolling, server, turn, since)
    select $1, id, 'waiting', $3 from estate.server where $2 = any (groups)"""
NEEDED: Final = """
    select distinct on (t.grp) t.grp, t.needed from estate.power_turn t join estate.power_policy p on p.grp = t.grp
     where t.at > now() - interval '3 minutes' order by t.grp, t.at desc limit 1000"""
MEMBERS: Final = "select server, turn, since from estate.rolling_member where rolling = $1 order by server limit 2000"
SET_TURN: Final = "update estate.rolling_member set turn = $3, since = $4 where rolling = $1 and server = $2"
ROLLED: Final = "update estate.rolling set ended = $2 where id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A server with all that upkeep knows of it."""

    id: str
    groups: tuple[str, ...]
    state: ServerState
    why: str
    seen: datetime
    slots: int
    sessions: int
    facts: Facts
    started: datetime | None  # when its agent, as it is now, first reported
    illness: Illness | None
    causes: tuple[str, ...]  # of its drains


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Why a server is kept empty. `told`: when its people were told of the deadline; `leave`: see emptying.py."""

    server: str
    cause: str
    by_whom: str
    asked: datetime
    deadline: datetime | None
    message: str = ""
    leave: int = LEAVE_SECONDS
    told: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    id: str
    group: str
    percent: int
    deadline: int
    message: str
    restart: bool
    by_whom: str
    began: datetime
    ended: datetime | None = None


class UpkeepStore:
    """A pool as role `cloister_estate`, or a connection of the owner. Raises Unavailable when the database is away."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """The database's clock: rows are timed by it, and the clocks of several controllers differ."""
        found: datetime = (await self._fetch("select now() as now"))[0]["now"]
        return found

    async def servers(self) -> list[Kept]:
        return [_kept(row) for row in await self._fetch(SERVERS)]

    async def turn(self, server: str, state: ServerState, event: ServerEvent, why: str = "") -> bool:
        """To the state that the table draws; False when somebody else was faster. Raises Conflict where the table draws nothing."""
        after = step(state, event)
        if after is state and not why:
            return True
        return bool(await self._fetch(SET_STATE, server, state, after, why[:200]))

    async def heard(self, server: str, facts: Mapping[str, Any], instance: str, *, now: datetime | None = None) -> None:
        """What an agent says of its health. A new `instance` means that it was started anew."""
        await self._fetch(HEARD, server, json.dumps(dict(facts)), instance[:100], now)

    async def set_illness(self, server: str, illness: Illness | None) -> None:
        if illness is None:
            await self._fetch(CURED, server)
        else:
            await self._fetch(ILL, server, illness.ailment, illness.since, illness.well_since)

    async def drain(self, drain: Drain) -> None:
        d = drain
        await self._fetch(DRAIN, d.server, d.cause, d.by_whom[:100], d.asked, d.deadline, d.message[:500], d.leave)

    async def undrain(self, server: str, cause: str = "") -> int:
        """Take back one cause, or all of them; how many there were."""
        return len(await self._fetch(UNDRAIN, server, cause))

    async def drains(self) -> list[Drain]:
        return [Drain(**dict(row)) for row in await self._fetch(DRAINS)]

    async def told(self, drain: Drain, *, now: datetime) -> None:
        await self._fetch(TOLD, drain.server, drain.cause, now)

    async def held(self, servers: Sequence[str]) -> list[Any]:
        """[{id, server, state, started, changed}] of the sessions on these servers."""
        return list(await self._fetch(HELD, list(servers)))

    async def windows(self) -> list[tuple[Window, datetime | None]]:
        return [_window(row) for row in await self._fetch(WINDOWS)]

    async def put_window(self, window: Window) -> None:
        w = window
        values = (w.start, w.minutes, w.zone, w.percent, w.deadline, w.message, w.restart)
        await self._fetch(PUT_WINDOW, w.id, w.group, list(w.days), w.on, *values)

    async def drop_window(self, window: str) -> bool:
        return bool(await self._fetch(DROP_WINDOW, window))

    async def begun(self, window: str, *, now: datetime) -> None:
        await self._fetch(BEGUN, window, now)

    async def rollings(self, *, ended: bool = False) -> list[Rolling]:
        return [Rolling(**{("group" if name == "grp" else name): value for name, value in dict(row).items()})
                for row in await self._fetch(ROLLINGS, ended)]  # fmt: skip

    async def roll(self, rolling: Rolling) -> None:
        """Every server of the group, in turn. Conflict while another rolling maintenance of the group goes on."""
        r = rolling
        if not await self._fetch(ROLL, r.id, r.group, r.percent, r.deadline, r.message[:500], r.restart, r.by_whom[:100], r.began):
            raise Conflict(
                f"A maintenance of group '{r.group}' goes on already.",
                hint=f"See `cloister server maintenance`, or stop it: cloister server undrain --group {r.group}",
                reason="rolling",
            )
        await self._fetch(ROLL_MEMBERS, r.id, r.group, r.began)

    async def needed(self) -> dict[str, int]:
        """By group with a power policy: how many servers must stay ready, as the planner said within the last minutes."""
        return {row["grp"]: row["needed"] for row in await self._fetch(NEEDED)}

    async def members(self, rolling: str) -> dict[str, tuple[Turn, datetime]]:
        return {row["server"]: (Turn(row["turn"]), row["since"]) for row in await self._fetch(MEMBERS, rolling)}

    async def set_turn(self, rolling: str, server: str, turn: Turn, *, now: datetime) -> None:
        await self._fetch(SET_TURN, rolling, server, turn, now)

    async def rolled(self, rolling: str, *, now: datetime) -> None:
        await self._fetch(ROLLED, rolling, now)

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(sql, *arguments)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
        return rows


def _kept(row: Any) -> Kept:
    illness = None
    if row["ailment"] is not None:
        illness = Illness(ailment=Ailment(row["ailment"]), since=row["since"], well_since=row["well_since"])
    return Kept(
        id=row["id"], groups=tuple(row["groups"]), state=ServerState(row["state"]), why=row["why"], seen=row["seen"], slots=row["slots"],
        sessions=row["sessions"], facts=facts_from(json.loads(row["facts"] or "{}")), started=row["started"], illness=illness,
        causes=tuple(json.loads(row["causes"])),
    )  # fmt: skip


def _window(row: Any) -> tuple[Window, datetime | None]:
    window = Window(
        id=row["id"], group=row["grp"], days=tuple(row["days"]), on=row["on_date"], start=row["start"], minutes=row["minutes"],
        zone=row["zone"], percent=row["percent"], deadline=row["deadline"], message=row["message"], restart=row["restart"],
    )  # fmt: skip
    return window, row["last"]
