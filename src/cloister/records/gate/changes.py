"""What changed about who may open what: heard from the database, told to this server's agent, within a second.

Each gate holds one connection that listens. A notice drops the gate's own memory of a person's zones at once, so
that not one more row leaves; the agent is told which sessions must end and which must look at their keys again.
After a lost connection, or for an agent that asks for the first time, every session is looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import asyncpg

from cloister.base.database import LOST
from cloister.base.telemetry import log
from cloister.records.gate.connections import Connections
from cloister.records.gate.sessions import Admitted, Sessions

CHANNEL: Final = "cloister_trust"
RETRY_SECONDS: Final = 0.5
PROBE_SECONDS: Final = 2.0
WAIT_SECONDS_MAX: Final = 25.0
TOLD_AT_ONCE_MAX: Final = 500
END, LOSE, RENEW, RULES = "end", "lose", "renew", "rules"
ORDER: Final = {END: 0, LOSE: 1, RENEW: 2, RULES: 3}  # whoever looks at their keys looks at the rules too

# Who may not go on at all: an account that was closed, or a person whose certificate was revoked.
ENDED: Final = """
    select p.id from trust.person p left join trust.identity i on i.person = p.id left join trust.certificate c on c.hash = i.certificate
     where p.id = any ($1) and (p.disabled or c.revoked is not null) order by p.id limit 20000"""
MEMBERS: Final = "select distinct person from trust.membership where team = any ($1) and revoked is null order by person limit 20000"


class Changes:
    """Listens for one gate, and keeps for its agent what sessions must be told."""

    def __init__(self, database: Connections, sessions: Sessions, forget: Callable[[Admitted], tuple[str, ...]]) -> None:
        """`forget` drops what the gate remembers of a session's zones, and says what it was."""
        self._database = database
        self._sessions = sessions
        self._forget = forget
        self._heard: asyncio.Queue[str] = asyncio.Queue()
        self._told: dict[str, str] = {}  # session -> END, LOSE, RENEW or RULES
        self._news = asyncio.Event()

    async def listen(self, arguments: Mapping[str, Any]) -> None:
        """Listen for ever; nothing is missed, because after each loss everybody is looked at again."""
        while True:
            try:
                connection = await asyncpg.connect(**arguments)
                try:
                    await connection.add_listener(CHANNEL, lambda _c, _pid, _channel, payload: self._heard.put_nowait(str(payload)))
                    await self.look_at_all()
                    while not connection.is_closed():
                        await self._take()
                finally:
                    connection.terminate()
            except (*LOST, asyncpg.PostgresError, TimeoutError) as lost:
                log("gate.not_listening", level="warning", kind=type(lost).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def _take(self) -> None:
        """All notices that are there, together: a new epoch comes as a thousand of them."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                first = await self._heard.get()
        except TimeoutError:
            return
        notices = [first]
        while not self._heard.empty():
            notices.append(self._heard.get_nowait())
        await self._look(notices)

    async def _look(self, notices: Iterable[str]) -> None:
        of: dict[str, set[str]] = {"gone": set(), "came": set(), "team": set(), "zone": set(), "rules": set()}
        for notice in notices:
            what, _, whom = notice.partition(" ")
            of.get(what, set()).add(whom)
        people = dict.fromkeys(of["came"], RENEW)
        if of["team"]:
            people |= dict.fromkeys([row[0] for row in await self._database.fetch(MEMBERS, sorted(of["team"]))], LOSE)
        people |= dict.fromkeys(of["gone"], LOSE)
        for admitted in self._sessions.all():
            change = people.get(admitted.person)
            zones = self._forget(admitted) if change or of["zone"] else ()
            if change or of["zone"] & set(zones):
                self._tell(admitted.session, change or RENEW)
            elif of["rules"]:
                self._tell(admitted.session, RULES)
        await self._find_ended(of["gone"])

    async def look_at_all(self) -> None:
        """Every session is to look at its keys again; those of people who may not go on end."""
        for admitted in self._sessions.all():
            self._forget(admitted)
            self._tell(admitted.session, RENEW)
        await self._find_ended({admitted.person for admitted in self._sessions.all()})

    async def _find_ended(self, people: set[str]) -> None:
        if not people:
            return
        ended = {row[0] for row in await self._database.fetch(ENDED, sorted(people))}
        for admitted in self._sessions.all():
            if admitted.person in ended:
                self._tell(admitted.session, END)

    def end(self, admitted: Admitted) -> None:
        """The agent is to end this session."""
        self._tell(admitted.session, END)

    def _tell(self, session: str, what: str) -> None:
        before = self._told.get(session)
        if before is None or ORDER[what] < ORDER[before]:
            self._told[session] = what
        self._news.set()

    async def taken(self) -> list[tuple[str, str]]:
        """For the agent: [session, what], the most urgent first; waits a while when there is nothing."""
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._news.wait()
        except TimeoutError:
            return []
        urgent = sorted(self._told.items(), key=lambda one: ORDER[one[1]])[:TOLD_AT_ONCE_MAX]
        for session, _ in urgent:
            del self._told[session]
        if not self._told:
            self._news.clear()
        return urgent
