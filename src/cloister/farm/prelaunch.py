"""Sessions started before their people come: placed, forked and waiting, locked and without any key, so that a sign-in skips all that.

Who is expected: whose turn of a rota begins within AHEAD, and who signed in about this time on this weekday in two of the last four
weeks. Only for people whose policy says so (`prelaunch`). Whoever does not come within KEPT_SECONDS costs a process until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.farm.operations import Operations, Operator
from cloister.farm.policies import limits_of

EVERY_SECONDS: Final = 300.0
AHEAD_MINUTES: Final = 20
ABOUT_MINUTES: Final = 20  # how far from the usual moment still counts
KEPT_SECONDS: Final = 3600
AT_ONCE: Final = 8
PEOPLE_MAX: Final = 5000  # of one round

COLUMNS: Final = "p.id as person, p.role, coalesce(p.hospital, '') as hospital"
NOT_HERE: Final = """
    p.kind = 'person' and not p.disabled and not exists (select from estate.session l where l.person = p.id and l.application = 'record'
        and l.state in ('starting', 'locked', 'active', 'disconnected'))"""
EXPECTED: Final = f"""
    select {COLUMNS} from trust.person p where {NOT_HERE} and p.id in (
        select trust.turns_beginning(now(), now() + interval '{AHEAD_MINUTES} minutes')
        union
        select s.person from estate.session s
         cross join generate_series(1, 4) week
         where s.kind = 'person' and s.application = 'record'
           and s.started between now() + interval '{AHEAD_MINUTES - ABOUT_MINUTES} minutes' - week * interval '7 days'
                             and now() + interval '{AHEAD_MINUTES + ABOUT_MINUTES} minutes' - week * interval '7 days'
         group by s.person having count(distinct week) >= 2)
     order by p.id limit {PEOPLE_MAX}"""
CHOSEN: Final = f"""
    select {COLUMNS} from trust.person p where {NOT_HERE} and (p.sign_in = $1 or p.id = $1 or p.id in (select trust.people_of_ward($2)))
     order by p.id limit {PEOPLE_MAX}"""

Start = Callable[..., Awaitable[Any]]  # farm.Broker.start_session


class Prelaunch:
    """Adds `prelaunch` to the operators' acts, and looks every few minutes who is expected."""

    def __init__(self, operations: Operations, start: Start) -> None:
        self._operations = operations
        self._start = start
        self._turns = asyncio.Semaphore(AT_ONCE)
        operations.register("prelaunch", self._asked)

    async def keep(self) -> None:
        while True:
            try:
                policies = await self._operations.store.policies()
                if any(one.prelaunch for one in policies):
                    found = await self._operations.store.fetch(EXPECTED)
                    wanted = [row for row in found if limits_of(policies, **_of(row)).get("prelaunch")]
                    await self._warm(wanted)
            except CloisterError as fault:  # the database is away: nobody is worse off than without
                log("prelaunch.skipped", level="warning", reason=fault.reason)
            await asyncio.sleep(EVERY_SECONDS)

    async def _asked(self, by: Operator, words: Mapping[str, Any]) -> dict[str, int]:
        """{person: sign-in name} or {ward: id}: their sessions now, whatever the policy says. {people, started}."""
        person, ward = str(words.get("person") or ""), str(words.get("ward") or "")
        await self._operations.noted(by, "prelaunch", object=f"ward/{ward}" if ward else f"person/{person}")
        found = await self._operations.store.fetch(CHOSEN, person, ward)
        return {"people": len(found), "started": await self._warm(list(found))}

    async def _warm(self, people: list[Any]) -> int:
        started = sum(await asyncio.gather(*(self._one(row) for row in people)))
        if people:
            log("prelaunch.done", people=len(people), started=started)
        return started

    async def _one(self, row: Any) -> bool:
        """Its ticket is thrown away: the person gets one at the door, and the session a fresh epoch with it."""
        async with self._turns:
            self._operations.warming[row["person"]] = KEPT_SECONDS
            try:
                await self._start(row["person"], row["role"], "person", hospital=row["hospital"])
            except CloisterError as refused:  # full, or somebody was faster: the sign-in does it then
                log("prelaunch.refused", person=row["person"], reason=refused.reason)
                return False
            finally:
                self._operations.warming.pop(row["person"], None)
        return True


def _of(row: Any) -> dict[str, Any]:
    return {"hospital": row["hospital"], "groups": (), "role": row["role"]}
