"""The broker: starts, rejoins and ends sessions through the agents, and issues their tickets. sessions.md, "Wire and lifecycle".

It keeps nothing in memory that the store does not have, so a restarted controller goes on where the last
one stopped. It carries sealed unlock messages that it cannot open, and holds no key of a person.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Conflict, Denied, Invalid, NotFound
from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.base.wire import Peer
from cloister.farm.placement import Rejoin, Server, ServerState, Session, SessionKind, decide
from cloister.farm.states import LIVE, SessionState, reported
from cloister.farm.store import Store
from cloister.farm.tickets import BROWSER, Bearer, Tickets

HEARTBEAT_SECONDS: Final = 5
SPAWN_SECONDS_MAX: Final = 20
ENDED_KEPT: Final = timedelta(days=30)


class AgentCalls(Protocol):
    """A connection to a server's agent (base.wire.Caller)."""

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any: ...


Further = Callable[[Session, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What the door hands to a browser; the ticket is a bearer's word, so it never shows in a repr."""

    session: str
    slot: int
    ticket: str
    public_key: bytes
    reconnected: bool
    unlocked: bool = False  # its keys are open already

    def __repr__(self) -> str:
        return f"Started(session={self.session!r}, slot={self.slot}, reconnected={self.reconnected})"


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
    ) -> None:
        """`agents` reaches the agent of a server id; `destination` is the socket of a server's slot, as Envoy knows it.

        `further`: what else a session may ask of the controller, by method; answered for that session alone.
        """
        self.further: dict[str, Further] = dict(further or {})
        self._store = store
        self._tickets = tickets
        self._agents = agents
        self._destination = destination
        self._agent_token = agent_token
        self._clock = clock
        self._turns: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        self._starting: set[str] = set()
        self._reporting: dict[int, str] = {}  # an agent's pid -> its server, since its hello

    # --- for the door -------------------------------------------------------------------------

    async def start_session(self, person: str, role: str, kind: str, label: str = "", *, to: Bearer = BROWSER) -> Started:
        """A new session, or the live one under a new epoch, so that older tickets end. Raises what refused, by name.

        `to`: the client that the ticket is for.
        """
        wanted = _kind(kind)
        async with self._turn(person, label):
            choice = decide(await self._store.live_of(person), await self._store.servers(), kind=wanted, label=label, now=self._clock())
            if isinstance(choice, Rejoin):
                rejoined = await self._rejoin(choice.session, to)
                if rejoined is not None:
                    return rejoined
                live = [s for s in await self._store.live_of(person) if s.id != choice.session.id]
                choice = decide(live, await self._store.servers(), kind=wanted, label=label, now=self._clock())
                if isinstance(choice, Rejoin):
                    raise Conflict("This session is changing hands.", hint="Sign in again.", reason="session-state")
            return await self._start(choice.server, person, role, wanted, label, to)

    async def unlock(self, session: str, unlocker: str, sealed: bytes) -> dict[str, Any]:
        """Carry a sealed unlock message to a session: for programs, whose token request comes through the door."""
        row = await self._live(session)
        result: dict[str, Any] = await self._agents(row.server).call("unlock", session=session, unlocker=unlocker, sealed=sealed)
        return result

    async def renew(self, session: str, epoch: int) -> str:
        """A fresh ticket for a live session; only for the epoch that is in force."""
        row = await self._live(session)
        if row.slot is None or row.epoch != epoch:
            raise Denied("This session was continued elsewhere.", reason="epoch", hint="Sign in again.")
        return self._ticket(row.id, row.server, row.slot, row.person, row.epoch)

    async def ticket_for(self, session: str, to: Bearer) -> str:
        """A ticket of a live session for an app that its person allowed in; of the epoch that is in force."""
        row = await self._live(session)
        if row.slot is None:
            raise Denied("This session is starting.", reason="session-state", hint="Try again in a moment.")
        return self._ticket(row.id, row.server, row.slot, row.person, row.epoch, to)

    async def is_live(self, session: str, epoch: int) -> bool:
        """Whether a ticket of this epoch can still lead to a session."""
        row = await self._store.session(session)
        if row is None or row.state not in LIVE:
            return False
        return epoch == row.epoch or (row.kind is SessionKind.PROGRAM and 0 < epoch < row.epoch)

    async def refuse(self, session: str, *, epoch: int = 0, grant: str = "") -> None:
        """Take back one token of a session (RFC 7009): a program's by its epoch, an app's by what it was allowed."""
        row = await self._live(session)
        await self._agents(row.server).call("refuse", session=session, epoch=epoch, grant=grant)

    async def end_session(self, session: str, reason: str = "ended") -> None:
        row = await self._live(session)
        await self._to_state(row, SessionState.ENDING, reason)
        try:
            await self._agents(row.server).call("end", session=session, reason=reason)
        except NotFound:
            await self._ended(session, "lost")

    async def list_sessions(self) -> list[Session]:
        return await self._store.sessions()

    async def list_servers(self) -> list[Server]:
        return await self._store.servers()

    # --- for the agents (controller.sock) -------------------------------------------------------

    async def answer(self, peer: Peer, method: str, arguments: dict[str, Any]) -> Any:
        """The wire handler of controller.sock. An agent says hello with its token first; later words are known by its pid."""
        if method == "hello":
            return await self._hello(peer, **_only(arguments, "server", "slots", "sessions", "token", "missing", "load"))
        server = self._reporting.get(peer.pid)
        if server is None:
            raise Denied("Say hello first.", reason="hello-first")
        if method == "heartbeat":
            known = await self._store.set_seen(server, load=float(arguments["load"]), free=int(arguments["free"]), now=self._clock())
            return {"known": known}
        session = await self._store.session(str(arguments.get("session", "")))
        if session is None or session.server != server:
            raise NotFound("This server has no such session.", reason="session")
        if method == "session_state":
            await self._reported(session, SessionState(arguments["state"]), str(arguments.get("why", ""))[:64])
            return {}
        if method in self.further:
            return await self.further[method](session, arguments)
        if method == "renew_ticket":
            return {"ticket": await self.renew(session.id, int(arguments["epoch"]))}
        raise Invalid("The controller has no such method.", reason="method")

    async def _hello(
        self,
        peer: Peer,
        *,
        server: str,
        slots: int,
        sessions: list[dict[str, Any]],
        token: str,
        missing: list[str] | None = None,
        load: float = 0.0,
    ) -> dict[str, Any]:
        if not hmac.compare_digest(str(token).encode(), self._agent_token.reveal()):
            raise Denied("This is not an agent of ours.", reason="agent-token")
        now = self._clock()
        free = slots - len(sessions)
        await self._store.set_server(
            Server(id=server, slots=slots, free=free, state=ServerState.READY, load=load, missing=tuple(missing or ()), seen=now)
        )
        unknown = await self._reconcile(server, {str(entry["session"]): entry for entry in sessions})
        await self._store.forget_ended(now - ENDED_KEPT)
        self._reporting = {pid: name for pid, name in self._reporting.items() if name != server} | {peer.pid: server}
        log("broker.hello", server=server, sessions=len(sessions), unknown=len(unknown))
        return {"end": unknown, "heartbeat_seconds": HEARTBEAT_SECONDS}

    async def _reconcile(self, server: str, said: dict[str, dict[str, Any]]) -> list[str]:
        """What the agent has is true: sessions it lacks have ended, sessions we do not know it must end."""
        known = {row.id: row for row in await self._store.sessions(server)}
        for row in known.values():
            entry = said.get(row.id)
            if entry is None:
                if row.id not in self._starting:
                    await self._ended(row.id, "lost")
                continue
            if int(entry["epoch"]) > row.epoch:
                await self._store.set_epoch(row.id, row.epoch, int(entry["epoch"]), now=self._clock())
            if row.slot != int(entry["slot"]) and row.id not in self._starting:
                await self._store.set_placed(row.id, server, int(entry["slot"]), now=self._clock())
            current = await self._store.session(row.id)
            if current is not None:
                await self._reported(current, SessionState(entry["state"]), "")
        return sorted(sid for sid in said if sid not in known and sid not in self._starting)

    async def _reported(self, session: Session, said: SessionState, why: str) -> None:
        try:
            state = reported(session.state, said)
        except Conflict as refused:
            log("broker.odd_state", level="warning", session=session.id, text=refused.text)
            return
        if state is not session.state:
            await self._store.set_state(session.id, session.state, state, why, now=self._clock())

    # --- inside ------------------------------------------------------------------------------------

    async def _start(self, server: str, person: str, role: str, kind: SessionKind, label: str, to: Bearer) -> Started:
        now = self._clock()
        session = Session(
            id=new_id(), person=person, role=role, kind=kind, label=label, server=server, slot=None,
            epoch=1, state=SessionState.STARTING, why="", started=now, changed=now,
        )  # fmt: skip
        self._starting.add(session.id)
        try:
            await self._store.add_session(session)
            whose = {"session": session.id, "person": person, "role": role, "kind": str(kind), "label": label, "epoch": 1}
            reply = await self._agents(server).call("spawn", timeout_seconds=SPAWN_SECONDS_MAX, **whose)
            slot = int(reply["slot"])
            if not await self._store.set_placed(session.id, server, slot, now=self._clock()):
                raise Conflict("This session ended while it started.", hint="Sign in again.", reason="session-state")
        except CloisterError as refused:
            await self._ended(session.id, refused.reason or refused.category)
            raise
        finally:
            self._starting.discard(session.id)
        ticket = self._ticket(session.id, server, slot, person, 1, to)
        return Started(session=session.id, slot=slot, ticket=ticket, public_key=bytes(reply["public_key"]), reconnected=False)

    async def _rejoin(self, session: Session, to: Bearer) -> Started | None:
        """None when the agent does not know the session any more: then a new one is placed."""
        epoch = session.epoch + 1
        if session.slot is None or not await self._store.set_epoch(session.id, session.epoch, epoch, now=self._clock()):
            raise Conflict("This session is changing hands.", hint="Sign in again.", reason="session-state")
        try:
            reply = await self._agents(session.server).call("rejoin", session=session.id, epoch=epoch)
        except NotFound:
            await self._ended(session.id, "lost")
            return None
        ticket = self._ticket(session.id, session.server, session.slot, session.person, epoch, to)
        return Started(
            session=session.id, slot=session.slot, ticket=ticket, public_key=bytes(reply["public_key"]), reconnected=True,
            unlocked=bool(reply.get("unlocked")),
        )  # fmt: skip

    def _ticket(self, session: str, server: str, slot: int, person: str, epoch: int, to: Bearer = BROWSER) -> str:
        where = self._destination(server, slot)
        return self._tickets.issue(session=session, destination=where, slot=slot, person=person, epoch=epoch, to=to)

    async def _live(self, session: str) -> Session:
        row = await self._store.session(session)
        if row is None or row.state not in LIVE:
            raise NotFound("There is no such session.", hint="Sign in again.", reason="session")
        return row

    async def _to_state(self, row: Session, state: SessionState, why: str) -> None:
        await self._store.set_state(row.id, row.state, state, why[:64], now=self._clock())

    async def _ended(self, session: str, why: str) -> None:
        row = await self._store.session(session)
        if row is not None and row.state is not SessionState.ENDED:
            await self._to_state(row, SessionState.ENDED, why)

    @asynccontextmanager
    async def _turn(self, person: str, label: str) -> AsyncIterator[None]:
        """One start at a time for each person and label: two tabs signing in at once get the same session."""
        key = (person, label)
        lock, users = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns[key]
            if users == 1:
                del self._turns[key]
            else:
                self._turns[key] = (lock, users - 1)


def _kind(kind: str) -> SessionKind:
    try:
        return SessionKind(kind)
    except ValueError:
        raise Invalid("A session is for a person or a program.", reason="kind") from None


def _only(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise Invalid(f"Unknown argument '{unknown[0][:40]}'.", reason="argument")
    return arguments
