"""The broker's store in memory, with the promises of the real one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cloister.base.errors import Conflict
from cloister.farm import Server, Session, SessionState

LIVE = {SessionState.STARTING, SessionState.LOCKED, SessionState.ACTIVE, SessionState.DISCONNECTED}


class MemoryStore:
    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.seen_servers: dict[str, Server] = {}

    def heard_of(self, server: str) -> bool:
        return server in self.seen_servers

    def state(self, session: str) -> str:
        return str(self.rows[session].state)

    async def session(self, session: str) -> Session | None:
        return self.rows.get(session)

    async def live_of(self, person: str) -> list[Session]:
        return [row for row in self.rows.values() if row.person == person and row.state in LIVE]

    async def sessions(self, server: str | None = None) -> list[Session]:
        return [row for row in self.rows.values() if row.state is not SessionState.ENDED and server in (None, row.server)]

    async def servers(self) -> list[Server]:
        taken = [row.server for row in await self.sessions()]
        return [replace(server, free=server.slots - taken.count(server.id)) for server in self.seen_servers.values()]

    async def add_session(self, session: Session) -> None:
        if any(row.label == session.label for row in await self.live_of(session.person)):
            raise Conflict("A session of this person is starting already.", reason="session-exists")
        self.rows[session.id] = session

    async def set_placed(self, session: str, server: str, slot: int, *, now: datetime) -> bool:
        row = self.rows[session]
        if row.state is SessionState.ENDED:
            return False
        state = SessionState.LOCKED if row.state is SessionState.STARTING else row.state
        self.rows[session] = replace(row, slot=slot, state=state, changed=now)
        return True

    async def set_state(self, session: str, known: SessionState, state: SessionState, why: str, *, now: datetime) -> bool:
        row = self.rows[session]
        if row.state is not known:
            return False
        self.rows[session] = replace(row, state=state, why=why, changed=now)
        return True

    async def set_epoch(self, session: str, known: int, epoch: int, *, now: datetime) -> bool:
        row = self.rows[session]
        if row.epoch != known:
            return False
        self.rows[session] = replace(row, epoch=epoch, changed=now)
        return True

    async def set_server(self, server: Server) -> None:
        self.seen_servers[server.id] = server

    async def set_seen(self, server: str, *, load: float, free: int, now: datetime) -> bool:
        if server not in self.seen_servers:
            return False
        self.seen_servers[server] = replace(self.seen_servers[server], load=load, free=free, seen=now)
        return True

    async def forget_ended(self, before: datetime) -> None:
        self.rows = {sid: row for sid, row in self.rows.items() if row.state is not SessionState.ENDED or row.changed >= before}
