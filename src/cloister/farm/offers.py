"""Programs beside a session: which its person may start there, and how many run. The controller's answers to its agents.

A program starts on the server where its person's session is, in the same farm's rules: a delivery group of that server publishes it, its
role may start it, and it does not run more often than it may.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import asyncpg

from cloister.base.database import LOST
from cloister.base.errors import Busy, Denied, NotFound, Unavailable
from cloister.base.ids import new_id
from cloister.farm.calls import AgentCalls
from cloister.farm.groups import DEFAULT_GROUP, Application, ApplicationKind, Group
from cloister.farm.operations import Act, Operations, Operator
from cloister.farm.placement import Session
from cloister.farm.states import LIVE

HospitalOf = Callable[[str], Awaitable[str]]  # a person's

SERVER_GROUPS: Final = "select groups from estate.server where id = $1"
LOCK: Final = "select pg_advisory_xact_lock(hashtext('cloister.program'), hashtext($1))"
RUNNING: Final = """
    select count(*) as everybody, count(*) filter (where s.person = $2) as mine
      from estate.program_run r join estate.session s on s.id = r.session
     where r.application = $1 and s.state = any ($3)"""
ADD_RUN: Final = "insert into estate.program_run (run, session, application) values ($1, $2, $3)"
END_RUN: Final = "delete from estate.program_run where run = $1 and session = $2"


@dataclass(frozen=True, slots=True)
class Running:
    """How often an application runs now: for everybody, and for this person."""

    everybody: int
    mine: int


def offered(
    applications: Sequence[Application], groups: Sequence[Group], *, of_server: Sequence[str], role: str, hospital: str
) -> list[Application]:
    """What a person of this role may start on a server of these groups. The record is where they are already."""
    here = [group for group in groups if group.id in of_server]
    return [
        one
        for one in applications
        if one.kind is not ApplicationKind.RECORD
        and role in roles_of(one)
        and any(group.publishes(one.id, hospital, role) for group in here)
    ]


def roles_of(application: Application) -> tuple[str, ...]:
    return tuple(map(str, application.settings.get("roles", ())))


def why_not(
    application: Application | None, groups: Sequence[Group], *, of_server: Sequence[str], role: str, hospital: str, running: Running
) -> Denied | NotFound | Busy | Unavailable | None:
    """The constraint that refuses, named; None when it may start."""
    if application is None or application.kind is ApplicationKind.RECORD:
        return NotFound("There is no such program.", hint="Start what the start page shows.", reason="program-unknown")
    if role not in roles_of(application):
        return Denied("Your role may not start this program.", hint="Ask your IT, who write down the roles.", reason="program-role")
    publishing = [group for group in groups if group.publishes(application.id, hospital, role)]
    if not any(group.id in of_server for group in publishing):
        text = f"'{application.name}' is not published on the server where your session is."
        names = ", ".join(group.id for group in publishing) or "no group publishes it for your hospital"
        return Unavailable(text, hint=f"Tell your IT: it is published by {names}.", reason="program-not-here")
    if application.sessions_max is not None and running.everybody >= application.sessions_max:
        text = f"All {application.sessions_max} of '{application.name}' run."
        return Busy(text, hint="Try again when somebody has ended it.", reason="program-all-run")
    if running.mine >= application.each_max:
        text = f"You run '{application.name}' {running.mine} times; at most {application.each_max} are allowed."
        return Busy(text, hint="End it where it runs.", reason="program-each")
    return None


RUN: Final = """
    select r.application, s.server, coalesce(p.sign_in, s.person) as who
      from estate.program_run r join estate.session s on s.id = r.session left join trust.person p on p.id = s.person
     where r.run = $1 and s.state = any ($2)"""
END_SECONDS_MAX: Final = 5.0


class Store(Protocol):
    async def applications(self) -> list[Application]: ...
    async def groups(self) -> list[Group]: ...


class Offers:
    """Answers `program_list`, `program_asked` and `program_ended` of the agents; a session is always its own."""

    def __init__(self, store: Store, pool: Any, hospital_of: HospitalOf) -> None:
        self._store = store
        self._pool = pool
        self._hospital_of = hospital_of

    async def listed(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        found = offered(
            await self._store.applications(), await self._store.groups(), of_server=await self._groups_of(session.server),
            role=session.role, hospital=await self._hospital_of(session.person),
        )  # fmt: skip
        return {"programs": [{"id": one.id, "name": one.name, "kind": str(one.kind)} for one in found]}

    async def asked(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """Counted before it starts, under a lock, so that two servers at once cannot pass the bound."""
        wanted = str(words.get("application", ""))
        application = next((one for one in await self._store.applications() if one.id == wanted), None)
        groups, of_server = await self._store.groups(), await self._groups_of(session.server)
        hospital, run = await self._hospital_of(session.person), new_id()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(LOCK, wanted)
                row = await connection.fetchrow(RUNNING, wanted, session.person, [str(state) for state in LIVE])
                running = Running(row["everybody"], row["mine"])
                refused = why_not(application, groups, of_server=of_server, role=session.role, hospital=hospital, running=running)
                if refused is not None:
                    raise refused
                await connection.execute(ADD_RUN, run, session.id, wanted)
        except (*LOST, TimeoutError) as lost:
            raise Unavailable("The database does not answer.", hint="Try again in a moment.", reason="database") from lost
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("There is no such program.", hint="Load the start page again.", reason="program-unknown") from None
        assert application is not None
        return {"run": run, "name": application.name, "kind": str(application.kind), "settings": dict(application.settings)}

    async def ended(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        await self._pool.execute(END_RUN, str(words.get("run", "")), session.id)
        return {}

    def ending(self, acts: Operations, agents: Callable[[str], AgentCalls]) -> Act:
        """The operators' act `end_program` {run}: the server's agent ends that one run; its session goes on. {application, who}."""

        async def end(by: Operator, words: Mapping[str, Any]) -> dict[str, str]:
            run = str(words.get("run", ""))[:64]
            row = await self._pool.fetchrow(RUN, run, [str(state) for state in LIVE])
            gone = NotFound("There is no such run.", hint="cloister application running shows those that there are.", reason="program-run")
            if row is None:
                raise gone
            await acts.noted(by, "end-program", object=f"run/{run}", reason=f"{row['application']} of {row['who']}")
            if not (await agents(row["server"]).call("end_run", timeout_seconds=END_SECONDS_MAX, run=run))["ended"]:
                raise gone
            return {"application": row["application"], "who": row["who"]}

        return end

    async def _groups_of(self, server: str) -> list[str]:
        groups = await self._pool.fetchval(SERVER_GROUPS, server)
        return [DEFAULT_GROUP] if groups is None else list(groups)
