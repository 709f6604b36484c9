"""What agents report: hello, heartbeats, what became of sessions; and what the broker concludes of a server's word."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Denied, Invalid, NotFound
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.base.wire import Peer
from cloister.farm.calls import Further, only
from cloister.farm.claims import AWAY
from cloister.farm.groups import DEFAULT_GROUP, RECORD, TEXT_CHARACTERS_MAX
from cloister.farm.lifecycle import Lifecycle
from cloister.farm.placement import Server, ServerState, Session, SessionKind
from cloister.farm.states import LIVE, SessionState
from cloister.farm.store import Store

HEARTBEAT_SECONDS: Final = 5
ENDED_KEPT: Final = timedelta(days=30)

Renew = Callable[..., Awaitable[str]]
Heard = Callable[[str, dict[str, Any], str], Awaitable[None]]


class Reports:
    def __init__(
        self,
        *,
        store: Store,
        lifecycle: Lifecycle,
        agent_token: Secret,
        clock: Clock,
        further: Mapping[str, Further],
        renew: Renew,
        heard: Heard | None = None,
    ) -> None:
        """`heard`: is told what an agent says of its health, and which instance of it says so (empty: the same as before)."""
        self._store = store
        self._lifecycle = lifecycle
        self._agent_token = agent_token
        self._clock = clock
        self._further = further
        self._renew = renew
        self._heard = heard
        self._reporting: dict[int, str] = {}  # an agent's pid -> its server, since its hello

    async def answer(self, peer: Peer, method: str, arguments: dict[str, Any]) -> Any:
        """An agent of this machine says hello with its token first; later words are known by its pid."""
        if method == "hello":
            if not hmac.compare_digest(str(arguments.pop("token", "")).encode(), self._agent_token.reveal()):
                raise Denied("This is not an agent of ours.", reason="agent-token")
            reply = await self._hello(**only(arguments, *HELLO))
            said = str(arguments["server"])
            self._reporting = {pid: name for pid, name in self._reporting.items() if name != said} | {peer.pid: said}
            return reply
        server = self._reporting.get(peer.pid)
        if server is None:
            raise Denied("Say hello first.", reason="hello-first")
        return await self.answer_of(server, method, arguments)

    async def answer_of(self, server: str, method: str, arguments: dict[str, Any]) -> Any:
        """The same for a server that was proved otherwise, by its certificate (lines.py)."""
        if method == "hello":
            return await self._hello(**only(arguments, *HELLO))
        if method == "heartbeat":
            load, free, memory = float(arguments["load"]), int(arguments["free"]), float(arguments.get("memory", 0.0))
            known = await self._store.set_seen(server, load=load, memory=memory, free=free, now=self._clock())
            await self._tell_health(server, arguments.get("health"), "")
            return {"known": known}
        session = await self._store.session(str(arguments.get("session", "")))
        if session is None or session.server != server:
            raise NotFound("This server has no such session.", reason="session")
        if method == "session_state":
            await self._lifecycle.reported(session, SessionState(arguments["state"]), str(arguments.get("why", ""))[:64])
            return {}
        if method in self._further:
            return await self._further[method](session, arguments)
        if method == "renew_ticket":
            keys = {name: str(arguments.get(name, ""))[:64] for name in ("jkt", "x5t")}
            return {"ticket": await self._renew(session.id, int(arguments["epoch"]), **keys)}
        raise Invalid("The controller has no such method.", reason="method")

    async def _hello(
        self,
        *,
        server: str,
        slots: int,
        sessions: list[dict[str, Any]],
        missing: list[str] | None = None,
        load: float = 0.0,
        memory: float = 0.0,
        groups: list[str] | None = None,
        image: str = "",
        instance: str = "",
        health: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        now = self._clock()
        await self._store.set_server(
            Server(
                id=server, slots=slots, free=slots - len(sessions), state=ServerState.READY, load=load, memory=memory, seen=now,
                missing=tuple(missing or ()), groups=tuple(groups or (DEFAULT_GROUP,)), image=str(image)[:TEXT_CHARACTERS_MAX],
            )
        )  # fmt: skip
        await self._tell_health(server, health, str(instance))
        unknown = await self._reconcile(server, {str(entry["session"]): entry for entry in sessions})
        await self._store.forget_ended(now - ENDED_KEPT)
        log("broker.hello", server=server, sessions=len(sessions), unknown=len(unknown))
        return {"end": unknown, "heartbeat_seconds": HEARTBEAT_SECONDS}

    async def _tell_health(self, server: str, health: Any, instance: str) -> None:
        if self._heard is not None and isinstance(health, dict):
            await self._heard(server, health, instance)

    async def _reconcile(self, server: str, said: dict[str, dict[str, Any]]) -> list[str]:
        """What the agent has is true: sessions it lacks have ended, sessions we do not know it must end."""
        known = {row.id: row for row in await self._store.sessions(server)}
        for row in known.values():
            entry = said.get(row.id)
            if entry is None:
                if not _on_its_way(row):
                    await self._lifecycle.ended(row.id, "lost")
                continue
            if int(entry["epoch"]) > row.epoch:
                await self._store.set_epoch(row.id, row.epoch, int(entry["epoch"]), now=self._clock())
            if row.slot != int(entry["slot"]) and not _on_its_way(row):
                await self._store.set_placed(row.id, server, int(entry["slot"]), now=self._clock())
            current = await self._store.session(row.id)
            if current is not None:
                await self._lifecycle.reported(current, SessionState(entry["state"]), "")
        strange = [sid for sid in said if sid not in known]
        return sorted([sid for sid in strange if not await self._revived(server, said[sid])])

    async def _revived(self, server: str, entry: dict[str, Any]) -> bool:
        """A session that was given up for lost goes on, unless its person was placed elsewhere meanwhile; and one that was
        started while the database was away is taken over, if the broker that started it has not brought it in."""
        session, state = str(entry["session"]), SessionState(entry["state"])
        if session.startswith(AWAY) and state in LIVE:
            return await self._store.adopt(_as_reported(server, entry, self._clock()), "", None) in ("adopted", "known")
        return state in LIVE and await self._store.revive(session, server, state, now=self._clock())


def _on_its_way(row: Session) -> bool:
    """Some broker is asking the agent for it just now. When that broker died, the tending of the others ends it."""
    return row.state is SessionState.STARTING and row.slot is None


def _as_reported(server: str, entry: dict[str, Any], now: datetime) -> Session:
    e = entry
    return Session(
        id=str(e["session"]), person=str(e["person"]), role=str(e["role"]), kind=SessionKind(e["kind"]), label=str(e["label"]),
        server=server, slot=int(e["slot"]), epoch=int(e["epoch"]), state=SessionState(e["state"]), why="", started=now, changed=now,
        application=str(e.get("application") or RECORD),
    )  # fmt: skip


HELLO: Final = ("server", "slots", "sessions", "missing", "load", "memory", "groups", "image", "instance", "health")
