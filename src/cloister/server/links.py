"""The agent's links to the store gate and to the controller, which may die and come back at any time.

A restarted gate knows no session and a restarted controller no server: each loss is noticed at once by an open
connection, and everything is said again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import CloisterError, Conflict, Denied, NotFound, Unavailable
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.farm import SessionState
from cloister.server.register import SessionRecord

RETRY_SECONDS: Final = 0.25
CALL_SECONDS_MAX: Final = 5.0
ASKED_SECONDS_MAX: Final = 18.0  # an operator's act on many servers takes its time
HEARTBEAT_SECONDS: Final = 5.0
FOLLOW_SECONDS_MAX: Final = 60.0
# What a session may ask of the controller, for itself alone.
ASKED_OF_CONTROLLER: Final = frozenset(
    {
        "signed_in_how",
        "ways_list",
        "totp_begin",
        "totp_confirm",
        "totp_remove",
        "paper_make",
        "proposals_list",
        "proposal_decide",
        "app_allowed",
        "app_asked",
        "app_launched",
        "app_list",
        "client_pace",
        "client_used",
        "lost_before",
        "message_seen",
        "nudge",
        "operate",
        "program_list",
        "refusal_noted",
        "refusals_shown",
        "vpn_certificate",
        "vpn_end",
        "vpn_shown",
    }
)


async def lost(path: Path, reached: Callable[[], None] | None = None) -> None:
    """Returns when whoever listens at this path now is gone; raises OSError when nobody does."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    if reached is not None:
        reached()
    try:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
    finally:
        writer.close()


class GateLink:
    """Tells the store gate which process is which session."""

    def __init__(
        self,
        path: Path,
        token: Secret,
        sessions: Callable[[], list[SessionRecord]],
        told: Callable[[list[tuple[str, str]]], None],
    ) -> None:
        """`told` gets [session, "end", "lose" or "renew"], the most urgent first."""
        self._told = told
        self._path = path
        self._token = token
        self._sessions = sessions
        self._caller = Caller(path, part="store gate")
        self._away_since: float | None = time.monotonic()

    @property
    def away_seconds(self) -> float:
        """For how long nothing has listened there; 0 while something does."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    def _reached(self) -> None:
        self._away_since = None

    async def keep(self) -> None:
        """After each restart of the gate, admit all sessions again, and then hear what has changed for them."""
        while True:
            try:
                watch = asyncio.create_task(lost(self._path, self._reached))
                following: asyncio.Task[None] | None = None
                try:
                    for record in self._sessions():
                        await self.admit(record)
                    following = asyncio.create_task(self._follow())
                    await watch
                finally:
                    self._away_since = time.monotonic() if self._away_since is None else self._away_since
                    watch.cancel()
                    if following is not None:
                        following.cancel()
                log("agent.gate_lost", level="warning")
            except (OSError, CloisterError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        """Hear which sessions must end or look at their keys again; the gate answers when there is something to say."""
        first = True
        while True:
            try:
                token = self._token.reveal().decode()
                news = await self._caller.call("session_changes", timeout_seconds=FOLLOW_SECONDS_MAX, token=token, first=first)
                first = False
                self._told([(str(session), str(what)) for session, what in news])
            except (OSError, CloisterError) as fault:
                if not first:
                    log("agent.not_following", level="warning", kind=type(fault).__name__)
                first = True
                await asyncio.sleep(RETRY_SECONDS)

    async def admit(self, record: SessionRecord) -> None:
        """While the gate is away nothing is lost: `keep` says it again when the gate is back."""
        r = record
        whose = {"pid": r.pid, "uid": r.uid, "session": r.session, "person": r.person, "role": r.role}
        with contextlib.suppress(Unavailable):
            await self._caller.call("session_admit", timeout_seconds=CALL_SECONDS_MAX, token=self._token.reveal().decode(), **whose)

    async def elsewhere(self) -> list[str]:
        """Which of this server's sessions were placed elsewhere, or have ended; raises when the database cannot be asked."""
        token, sessions = self._token.reveal().decode(), [record.session for record in self._sessions()]
        found = await self._caller.call("session_elsewhere", timeout_seconds=CALL_SECONDS_MAX, token=token, sessions=sessions)
        return [str(session) for session in found]

    async def dismiss(self, session: str) -> None:
        with contextlib.suppress(CloisterError):  # a gate that is away has forgotten it already
            token = self._token.reveal().decode()
            await self._caller.call("session_dismiss", timeout_seconds=CALL_SECONDS_MAX, token=token, session=session)


class ControllerLink:
    """Says hello, beats, and passes on what sessions say of themselves."""

    def __init__(self, path: Path, token: Secret, report: Callable[[], dict[str, Any]], end_unknown: Callable[[str], None]) -> None:
        self._path = path
        self._token = token
        self._report = report
        self._end_unknown = end_unknown
        self._caller = Caller(path, part="controller")

    async def keep(self) -> None:
        while True:
            try:
                watch = asyncio.create_task(lost(self._path))
                try:
                    await self._hello()
                    await self._beat(watch)
                finally:
                    watch.cancel()
                log("agent.controller_lost", level="warning")
            except (OSError, CloisterError) as fault:
                if isinstance(fault, Denied):
                    log("agent.controller_refused", level="error", reason=fault.reason)
                await asyncio.sleep(RETRY_SECONDS)

    async def _hello(self) -> None:
        facts = self._report()
        said = {name: facts[name] for name in ("server", "slots", "sessions", "missing", "load", "memory", "image", "instance", "health")}
        reply = await self._caller.call("hello", timeout_seconds=CALL_SECONDS_MAX, token=self._token.reveal().decode(), **said)
        for session in reply["end"]:
            self._end_unknown(str(session))

    async def _beat(self, watch: asyncio.Task[None]) -> None:
        while True:
            done, _ = await asyncio.wait([watch], timeout=HEARTBEAT_SECONDS)
            if done:
                return
            facts = self._report()
            said = {name: facts[name] for name in ("load", "memory", "free", "health")}
            reply = await self._caller.call("heartbeat", timeout_seconds=CALL_SECONDS_MAX, **said)
            if not reply["known"]:
                return

    async def tell(self, session: str, state: SessionState, why: str) -> None:
        """While the controller is away nothing is lost: the next hello lists every session and its state."""
        with contextlib.suppress(Unavailable, Denied, NotFound, Conflict):
            await self._caller.call("session_state", timeout_seconds=CALL_SECONDS_MAX, session=session, state=str(state), why=why)

    async def renew_ticket(self, session: str, epoch: int, *, jkt: str, x5t: str) -> str:
        asked = {"session": session, "epoch": epoch, "jkt": jkt, "x5t": x5t}
        reply = await self._caller.call("renew_ticket", timeout_seconds=CALL_SECONDS_MAX, **asked)
        return str(reply["ticket"])

    async def ask(self, method: str, session: str, arguments: dict[str, Any]) -> Any:
        """A question of a session to the controller, which answers for that session alone."""
        return await self._caller.call(method, timeout_seconds=ASKED_SECONDS_MAX, **{**arguments, "session": session})
