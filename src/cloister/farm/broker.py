"""The broker: starts, rejoins and ends sessions through the agents, and issues their tickets. sessions.md, "Wire and lifecycle".

The thin front. Where a session goes is placing.py's, what agents report reports.py's, and the life of a session after its
start lifecycle.py's. It keeps nothing in memory that the store does not have, so that any number of brokers may run, and a
restarted one goes on where the last one stopped. It carries sealed unlock messages that it cannot open.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Denied, Unavailable
from cloister.base.secret import Secret
from cloister.base.wire import Peer
from cloister.farm.calls import AgentCalls, Further, Started
from cloister.farm.came_by import CameBy
from cloister.farm.groups import RECORD
from cloister.farm.lifecycle import Lifecycle
from cloister.farm.placement import Server, Session, SessionKind
from cloister.farm.placing import PATIENCE_SECONDS, VIEW_SECONDS, LimitsOf, Placing
from cloister.farm.reports import Heard, Reports
from cloister.farm.states import LIVE
from cloister.farm.store import Store
from cloister.farm.tickets import BROWSER, Bearer, Tickets
from cloister.farm.why import explained

TEND_SECONDS: Final = 5.0


class Broker:
    def __init__(
        self,
        *,
        store: Store,
        tickets: Tickets,
        agents: Callable[[str], AgentCalls],
        destination: Callable[[str, int], str],
        agent_token: Secret,
        clock: Clock,
        further: Mapping[str, Further] | None = None,
        limits: LimitsOf | None = None,
        heard: Heard | None = None,
        name: str = "broker",
        patience_seconds: float = PATIENCE_SECONDS,
        view_seconds: float = VIEW_SECONDS,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        host: Callable[[str], str] = lambda server: "",
        came_by: CameBy | None = None,
    ) -> None:
        """`agents` reaches the agent of a server id; `destination` is the socket of a server's slot, as Envoy knows it.

        `host`: address and port of a server's ingress, where the edge is on another machine; empty on one machine alone.
        `came_by` writes down by which gateway somebody came.

        `further`: what else a session may ask of the controller, by method; answered for that session alone.
        `name`: this broker's among several. `pause` waits, on a virtual clock in the simulator.
        """
        self.further: dict[str, Further] = dict(further or {})
        self._store = store
        self._tickets = tickets
        self._destination = destination
        self._host = host
        self._came_by = came_by
        self.lifecycle = Lifecycle(store=store, agents=agents, clock=clock)
        self._name = name
        self._clock = clock
        self._agents = agents
        self._placing = Placing(
            store=store, agents=agents, lifecycle=self.lifecycle, clock=clock, limits=limits, broker=name,
            patience_seconds=patience_seconds, view_seconds=view_seconds, pause=pause,
        )  # fmt: skip
        self._reports = Reports(
            store=store, lifecycle=self.lifecycle, agent_token=agent_token, clock=clock, further=self.further, renew=self.renew, heard=heard
        )

    # --- for the door -------------------------------------------------------------------------

    async def start_session(
        self,
        person: str,
        role: str,
        kind: str,
        label: str = "",
        *,
        to: Bearer = BROWSER,
        application: str = RECORD,
        hospital: str = "",
        where: str = "",
        gateway: str = "",
    ) -> Started:
        """A new session, or the live one under a new epoch, so that older tickets end. Raises what refused, by name.

        `to`: the client that the ticket is for. `hospital`: the person's, because a delivery group may be of one.
        `where`: the terminal, which an older page is told when the session goes there, and for which a licence pool may have a reserve.
        `gateway`: by which the request came, so that all of one gateway can be ended.
        Raises Wait with the place in the queue.
        """
        placed = await self._placing.start(person, role, kind, label, application=application, hospital=hospital, where=where)
        session = placed.session
        assert session.slot is not None  # placed
        await self._came(session.id, gateway)
        ticket = self._ticket(session, to)
        return Started(
            session=session.id, slot=session.slot, ticket=ticket, public_key=placed.public_key,
            reconnected=placed.reconnected, unlocked=placed.unlocked,
        )  # fmt: skip

    async def unlock(self, session: str, unlocker: str, sealed: bytes) -> dict[str, Any]:
        """Carry a sealed unlock message to a session: for programs, whose token request comes through the door."""
        return await self.lifecycle.unlock(session, unlocker, sealed)

    async def renew(self, session: str, epoch: int, *, jkt: str = "", x5t: str = "") -> str:
        """A fresh ticket for a live session; only for the epoch that is in force. `jkt`, `x5t`: the key and the card's certificate that the
        session holds its browser to."""
        row = await self.lifecycle.live(session)
        if row.slot is None or row.epoch != epoch:
            raise Denied("This session was continued elsewhere.", reason="epoch", hint="Sign in again.")
        return self._ticket(row, Bearer(jkt=jkt, x5t=x5t))

    async def ticket_for(self, session: str, to: Bearer, *, gateway: str = "") -> str:
        """A ticket of a live session for an app that its person allowed in; of the epoch that is in force."""
        row = await self.lifecycle.live(session)
        if row.slot is None:
            raise Denied("This session is starting.", reason="session-state", hint="Try again in a moment.")
        await self._came(session, gateway)
        return self._ticket(row, to)

    async def is_live(self, session: str, epoch: int) -> bool:
        """Whether a ticket of this epoch can still lead to a session."""
        row = await self._store.session(session)
        if row is None or row.state not in LIVE:
            return False
        return epoch == row.epoch or (row.kind is SessionKind.PROGRAM and 0 < epoch < row.epoch)

    async def refuse(self, session: str, *, epoch: int = 0, grant: str = "") -> None:
        """Take back one token of a session (RFC 7009): a program's by its epoch, an app's by what it was allowed."""
        await self.lifecycle.refuse(session, epoch=epoch, grant=grant)

    async def end_session(self, session: str, reason: str = "ended") -> None:
        await self.lifecycle.end(session, reason)

    async def why(self, session: str) -> list[str]:
        """Why this server: sentences, from what the broker knew when it chose. Raises NotFound."""
        return explained(await self._store.decision(session))

    async def tend(self) -> None:
        """What any broker does every few seconds: leases, usage, starts whose broker died."""
        for lost in await self._store.tend(self._name, now=self._clock()):
            server, session = lost.split(" ", 1)
            with contextlib.suppress(CloisterError):
                await self._agents(server).call("end", session=session, reason="start-lost")
        if self._came_by is not None:
            await self._came_by.tell()

    async def keep(self, settled: Callable[[], None] = lambda: None) -> None:
        """Tend the farm for ever. Without the database there is nothing to tend. `settled`: told once, when the farm is known."""
        known = False
        while True:
            with contextlib.suppress(Unavailable):
                await self._placing.view.fresh()  # whoever comes in the middle of the night finds one that is not too old
                await self.tend()
                if not known:
                    settled()
                    known = True
            await asyncio.sleep(TEND_SECONDS * random.uniform(0.8, 1.2))  # brokers that began at one moment do not all tend at one

    async def list_sessions(self) -> list[Session]:
        return await self._store.sessions()

    async def list_servers(self) -> list[Server]:
        return await self._store.servers()

    # --- for the agents (controller.sock) -------------------------------------------------------

    async def answer(self, peer: Peer, method: str, arguments: dict[str, Any]) -> Any:
        """The wire handler of controller.sock."""
        return await self._reports.answer(peer, method, arguments)

    async def answer_of(self, server: str, method: str, arguments: dict[str, Any]) -> Any:
        """The same words from an agent on another machine, which its certificate proved (lines.py)."""
        return await self._reports.answer_of(server, method, arguments)

    # --- inside ------------------------------------------------------------------------------------

    async def _came(self, session: str, gateway: str) -> None:
        if self._came_by is not None:
            await self._came_by.note(session, gateway)

    def _ticket(self, row: Session, to: Bearer = BROWSER) -> str:
        assert row.slot is not None
        where, host = self._destination(row.server, row.slot), self._host(row.server)
        return self._tickets.issue(session=row.id, destination=where, host=host, slot=row.slot, person=row.person, epoch=row.epoch, to=to)
