"""The life of a session after its start: unlock messages, tokens taken back, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloister.base.clock import Clock
from cloister.base.errors import Conflict, NotFound
from cloister.base.telemetry import log
from cloister.farm.calls import AgentCalls
from cloister.farm.placement import Session
from cloister.farm.states import LIVE, SessionState, reported
from cloister.farm.store import Store


class Lifecycle:
    def __init__(self, *, store: Store, agents: Callable[[str], AgentCalls], clock: Clock) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock

    async def live(self, session: str) -> Session:
        """The row of a live session; raises NotFound."""
        row = await self._store.session(session)
        if row is None or row.state not in LIVE:
            raise NotFound("There is no such session.", hint="Sign in again.", reason="session")
        return row

    async def unlock(self, session: str, unlocker: str, sealed: bytes) -> dict[str, Any]:
        row = await self.live(session)
        result: dict[str, Any] = await self._agents(row.server).call("unlock", session=session, unlocker=unlocker, sealed=sealed)
        return result

    async def refuse(self, session: str, *, epoch: int = 0, grant: str = "") -> None:
        row = await self.live(session)
        await self._agents(row.server).call("refuse", session=session, epoch=epoch, grant=grant)

    async def end(self, session: str, reason: str) -> None:
        row = await self.live(session)
        await self.to_state(row, SessionState.ENDING, reason)
        try:
            await self._agents(row.server).call("end", session=session, reason=reason)
        except NotFound:
            await self.ended(session, "lost")

    async def to_state(self, row: Session, state: SessionState, why: str) -> None:
        await self._store.set_state(row.id, row.state, state, why[:64], now=self._clock())

    async def ended(self, session: str, why: str) -> None:
        row = await self._store.session(session)
        if row is not None and row.state is not SessionState.ENDED:
            await self.to_state(row, SessionState.ENDED, why)

    async def reported(self, session: Session, said: SessionState, why: str) -> None:
        """What an agent says of a session; believed only where the table leads."""
        try:
            state = reported(session.state, said)
        except Conflict as refused:
            log("broker.odd_state", level="warning", session=session.id, text=refused.text)
            return
        if state is not session.state:
            await self._store.set_state(session.id, session.state, state, why, now=self._clock())
