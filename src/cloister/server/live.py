"""What the agent holds of one session: its record, its process by a pidfd, and the words that go to it alone.

A pidfd names one process for ever: no other can take it over as it could a process id (pidfd_open(2)).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from cloister.base import wire
from cloister.base.errors import Corrupt, Unavailable
from cloister.farm import SessionState
from cloister.server.register import SessionRecord


@dataclass(slots=True, kw_only=True)
class Live:
    """A session's process as the agent holds it: a pidfd, which no other process can take over."""

    record: SessionRecord
    pidfd: int
    control: wire.Caller
    state: SessionState = SessionState.STARTING
    why: str = ""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    changed: float = field(default_factory=time.monotonic)
    killed: bool = False

    def as_wire(self) -> dict[str, Any]:
        r = self.record
        names = {"session": r.session, "person": r.person, "role": r.role, "kind": r.kind, "label": r.label}
        return {**names, "slot": r.slot, "pid": r.pid, "uid": r.uid, "epoch": r.epoch, "state": str(self.state)}

    async def hello(self, seconds: float) -> dict[str, Any]:
        """Its first word, which says who it is; raises Unavailable when it dies before, Corrupt when another answers."""
        call = asyncio.create_task(self.control.call("hello", timeout_seconds=seconds))
        gone = asyncio.create_task(self.gone.wait())
        try:
            await asyncio.wait([call, gone], return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise Unavailable("The session's process died.", reason="died")
            hello: dict[str, Any] = call.result()
        finally:
            call.cancel()
            gone.cancel()
        if hello["session"] != self.record.session:
            raise Corrupt("Another session answers in this slot.", reason="slot")
        return hello

    async def kill(self, why: str) -> None:
        """At once; over when the kernel says so."""
        if self.gone.is_set():
            return
        self.why, self.killed = self.why or why, True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        await self.gone.wait()
