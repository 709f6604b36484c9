"""A farm of servers with pretended agents and any store: what several test files of the broker share."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from cloister.base.errors import CloisterError, Conflict, NotFound
from cloister.base.secret import Secret
from cloister.farm import Broker, Server, Tickets, claims
from cloister.farm.placement import ServerState
from cloister.farm.store import Store

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def a_server(name: str = "s1", **changed: Any) -> Server:
    facts = {"slots": 10, "free": 10, "state": ServerState.READY, "load": 0.0, "missing": (), "seen": NOW, **changed}
    return Server(id=name, **facts)


class PretendAgent:
    """Keeps sessions as an agent does, without processes; `broken` is raised instead, `seconds` is what a start takes."""

    def __init__(self, slots: int = 10) -> None:
        self.slots = slots
        self.sessions: dict[str, dict[str, Any]] = {}
        self.broken: CloisterError | None = None
        self.seconds = 0.0
        self.starting = 0
        self.most_starting = 0

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        session = arguments["session"]
        if method == "spawn":
            return await self._spawn(arguments)
        if session not in self.sessions:
            raise NotFound("This server has no such session.")
        if method == "rejoin":
            self.sessions[session]["epoch"] = arguments["epoch"]
            return {"public_key": b"key"}
        if method == "end":
            del self.sessions[session]
        return {}

    async def _spawn(self, said: dict[str, Any]) -> Any:
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.starting -= 1
        for other in self.sessions.values():
            if said["session"].startswith(claims.AWAY) and (other["person"], other["label"]) == (said["person"], said["label"]):
                where = f"{other['session']} {other['slot']} {other['epoch']}"
                raise Conflict("This person has a session here.", reason="person-here", expression=where)
        taken = {entry["slot"] for entry in self.sessions.values()}
        slot = next(number for number in range(self.slots) if number not in taken)
        names = ("session", "person", "role", "kind", "label")
        self.sessions[said["session"]] = {**{name: said[name] for name in names}, "slot": slot, "epoch": 1, "state": "locked"}
        return {"public_key": b"key", "slot": slot, "pid": 1000 + slot}


class Farm:
    """Brokers over one store; `agents` by server."""

    def __init__(self, store: Store, servers: list[str], slots: int = 10) -> None:
        self.store = store
        self.agents = {name: PretendAgent(slots) for name in servers}
        self.tickets = Tickets(Secret(bytes(32)), clock=lambda: self.now)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def broker(self, name: str = "b1", **options: Any) -> Broker:
        return Broker(
            store=options.pop("store", self.store),
            tickets=self.tickets,
            agents=lambda server: self.agents[server],
            destination=lambda server, slot: f"/run/{server}/slots/{slot}.sock",
            agent_token=Secret(b"right"),
            clock=options.pop("clock", lambda: self.now),
            name=name,
            **options,
        )

    async def report(self, *names: str) -> None:
        for name in names or self.agents:
            agent = self.agents[name]
            await self.store.set_server(a_server(name, slots=agent.slots, seen=self.now))

    @property
    def held(self) -> list[str]:
        """Whose session, once for each that really is on some server."""
        return sorted(entry["person"] for agent in self.agents.values() for entry in agent.sessions.values())
