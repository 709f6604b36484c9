"""The broker's store in memory, with the promises of the real one: for the simulator, for tests, and as the local copy in an outage.

Built of the pure models: a simulation of a day runs the same rules as PostgreSQL does, on whatever clock it is given.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cloister.base.errors import Conflict
from cloister.farm.groups import EVERYBODY, THE_RECORD, Application, Group
from cloister.farm.memory_claims import MemoryClaims
from cloister.farm.placement import Server, ServerState, Session
from cloister.farm.states import LIVE, SessionState

KEPT = (ServerState.DRAINING, ServerState.MAINTENANCE, ServerState.UNHEALTHY)


class MemoryStore(MemoryClaims):
    def __init__(self) -> None:
        super().__init__()
        self.published[THE_RECORD.id] = THE_RECORD
        self.delivery[EVERYBODY.id] = EVERYBODY

    def heard_of(self, server: str) -> bool:
        return server in self.seen_servers

    def state(self, session: str) -> str:
        return str(self.rows[session].state)

    async def session(self, session: str) -> Session | None:
        return self.rows.get(session)

    def nobody(self, person: str) -> bool:
        return not self.live(person)

    async def live_of(self, person: str) -> list[Session]:
        return self.live(person)

    async def sessions(self, server: str | None = None) -> list[Session]:
        if server is None:
            return [row for row in self.rows.values() if row.state is not SessionState.ENDED]
        return [self.rows[session] for session in self.on_server.get(server, {}) if session in self.rows]

    async def servers(self) -> list[Server]:
        return [self.counted(server) for _, server in sorted(self.seen_servers.items())]

    async def add_session(self, session: Session) -> None:
        if any((row.application, row.label) == (session.application, session.label) for row in self.live(session.person)):
            raise Conflict("A session of this person is starting already.", reason="session-exists")
        self.write(session)

    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool:
        for other in await self.sessions(server):
            if other.slot == slot and other.id != session:
                self.write(replace(other, state=SessionState.ENDED, why="slot-reused", changed=now))
        row = self.rows[session]
        if row.state is SessionState.ENDED:
            return False
        state = SessionState.LOCKED if row.state is SessionState.STARTING else row.state
        self.write(replace(row, slot=slot, state=state, changed=now))
        return True

    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool:
        row = self.rows[session]
        if row.state is not known:
            return False
        self.write(replace(row, state=state, why=why, changed=now))
        return True

    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool:
        row = self.rows[session]
        if row.epoch != known:
            return False
        self.write(replace(row, epoch=epoch, changed=now))
        return True

    async def set_server(self, server: Server) -> None:
        before = self.seen_servers.get(server.id)
        if before is not None and before.state in KEPT:
            server = replace(server, state=before.state, why=before.why)
        self.report(server)

    async def set_server_state(self, server: str, known: ServerState, state: ServerState, why: str) -> bool:
        row = self.seen_servers.get(server)
        if row is None or row.state is not known:
            return False
        self.seen_servers[server] = replace(row, state=state, why=why)
        return True

    async def set_seen(self, server: str, *, load: float, memory: float, free: int, now: datetime) -> bool:
        if server not in self.seen_servers:
            return False
        self.report(replace(self.seen_servers[server], load=load, memory=memory, free=free, seen=now))
        return True

    async def revive(self, session: str, server: str, state: SessionState, *, now: datetime) -> bool:
        row = self.rows.get(session)
        if row is None or (row.server, row.state, row.why) != (server, SessionState.ENDED, "server-lost"):
            return False
        key = (row.person, row.application, row.label)
        if any((one.person, one.application, one.label) == key and one.state in LIVE for one in self.rows.values()):
            return False
        self.write(replace(row, state=state, why="", changed=now))
        return True

    async def forget_ended(self, before: datetime) -> None:
        self.forget(before)

    async def applications(self) -> list[Application]:
        return [one for _, one in sorted(self.published.items())]

    async def set_application(self, application: Application) -> None:
        self.published[application.id] = application

    async def groups(self) -> list[Group]:
        return [one for _, one in sorted(self.delivery.items())]

    async def set_group(self, group: Group) -> None:
        self.delivery[group.id] = group
