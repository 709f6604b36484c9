"""Why a session is where it is, and how licences were used and are likely to be: what operators ask of the farm's past."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import iso
from cloister.base.errors import Invalid, NotFound
from cloister.farm.licence_forecast import WEEKS_MAX, expected
from cloister.farm.operating_store import OperatingStore
from cloister.farm.operations import Operations, Operator
from cloister.farm.why import explained

HOURS_MAX: Final = 24 * 35
AHEAD_HOURS_MIN: Final = 8
KNOWN: Final = timedelta(weeks=WEEKS_MAX, hours=1)

DECISION: Final = """
    select s.decision, s.server, s.application, s.started, l.number as seat from estate.session s
      left join estate.licence_seat l on l.session = s.id where s.id = $1"""
OF_SESSION: Final = """
    select r.application, a.name, r.started, array(
           select g.id from estate.delivery_group g join estate.server v on g.id = any (v.groups)
            where v.id = s.server and r.application = any (g.applications) order by g.id) as groups
      from estate.program_run r join estate.session s on s.id = r.session join estate.application a on a.id = r.application
     where r.session = $1 order by r.started, r.application limit 100"""
WHOSE: Final = """
    select s.id, s.state, coalesce(p.sign_in, s.person) as sign_in from estate.session s left join trust.person p on p.id = s.person
     where s.id = $1 or (s.state <> 'ended' and (s.person = $1 or p.sign_in = $1)) order by s.started, s.id limit 50"""
REFUSALS: Final = """
    select r.at, r.application, r.reason, r.text from estate.refusal r left join trust.person p on p.id = r.person
     where r.person = $1 or p.sign_in = $1 or r.person = (select s.person from estate.session s where s.id = $1)
     order by r.at desc limit 20"""
KNOWN_AS: Final = """
    select exists (select from trust.person where id = $1 or sign_in = $1) or exists (select from estate.session where id = $1) as known"""
USAGE: Final = """
    select application as pool, date_bin('15 minutes', at, timestamptz '2026-01-01') as at, max(used)::int as used, max(seats)::int as seats
      from estate.licence_usage where at > $1 group by 1, 2 order by 1, 2 limit 100000"""
HOURLY: Final = """
    select application as pool, date_trunc('hour', at) as at, max(used)::int as used, max(seats)::int as seats
      from estate.licence_usage where at > $1 group by 1, 2 order by 1, 2 limit 200000"""


class Explaining:
    """Adds `why`, `why_of` and `licence_history` to the operators' acts."""

    def __init__(self, operations: Operations, store: OperatingStore) -> None:
        self._store = store
        self._now = operations.now
        operations.register("why", self._why)
        operations.register("why_of", self._why_of)
        operations.register("licence_history", self._licences)

    async def _why(self, by: Operator, words: Mapping[str, Any]) -> dict[str, list[str]]:
        """{session}: the broker's record of its placement, as sentences, and what runs beside it."""
        return {"lines": await self._lines(str(words.get("session", ""))[:64])}

    async def _lines(self, session: str) -> list[str]:
        rows = await self._store.fetch(DECISION, session)
        row = dict(rows[0]) if rows else {}
        record = {**json.loads(row.pop("decision")), **row} if row else {}
        beside = [_beside(run) for run in await self._store.fetch(OF_SESSION, session)]
        return explained(record) + beside

    async def _why_of(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{whose: a session's id, a sign-in name or a program's}: {sessions: [{id, state, sign_in, lines}], refused: [...]}."""
        whose = str(words.get("whose", ""))[:200].strip()
        if not (await self._store.fetch(KNOWN_AS, whose))[0]["known"]:
            text = f"Nobody and no session is called '{whose[:60]}'."
            raise NotFound(text, hint="See `cloister session list --all`.", reason="session")
        sessions = [{**dict(row), "lines": await self._lines(row["id"])} for row in await self._store.fetch(WHOSE, whose)]
        refused = [{**dict(row), "at": iso(row["at"])} for row in await self._store.fetch(REFUSALS, whose)]
        return {"sessions": sessions, "refused": refused}

    async def _licences(self, by: Operator, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        """{hours}: [{pool, at, used, limit}] in steps of a quarter of an hour, then [{pool, at, forecast, limit}] by hour for later."""
        hours = words.get("hours", 24)
        if isinstance(hours, bool) or not isinstance(hours, int) or not 1 <= hours <= HOURS_MAX:
            raise Invalid("Hours are a whole number.", hint=f"From 1 to {HOURS_MAX}.", reason="hours")
        now = self._now()
        shown = [
            {"pool": row["pool"], "at": iso(row["at"]), "used": row["used"], "limit": row["seats"]}
            for row in await self._store.fetch(USAGE, now - timedelta(hours=hours))
        ]
        known: dict[str, list[tuple[datetime, int, int]]] = {}
        for row in await self._store.fetch(HOURLY, now - KNOWN):
            known.setdefault(row["pool"], []).append((row["at"], row["used"], row["seats"]))
        for pool, rows in known.items():
            foreseen = expected([(at, used) for at, used, _ in rows], now=now, ahead=max(AHEAD_HOURS_MIN, hours // 3))
            shown += [{"pool": pool, "at": iso(at), "forecast": round(used, 1), "limit": rows[-1][2]} for at, used in foreseen]
        return shown


def _beside(run: Mapping[str, Any]) -> str:
    said = f"Beside it runs '{run['name']}' since {iso(run['started'])}"
    if not run["groups"]:
        return f"{said}; no group publishes it on this server any more."
    return f"{said}, because group {' and '.join(run['groups'])} publishes it on this server."
