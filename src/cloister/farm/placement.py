"""Where a session goes: pure decisions over what the store says. A refusal names the constraint that refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.base.errors import Busy, Invalid, Unavailable
from cloister.farm.states import LIVE, SessionState

PROGRAM_SESSIONS_MAX: Final = 4  # at once, told apart by label
SERVER_SILENT: Final = timedelta(seconds=20)  # four missed heartbeats
LABEL_CHARACTERS_MAX: Final = 64


class SessionKind(StrEnum):
    PERSON = "person"
    PROGRAM = "program"


class ServerState(StrEnum):
    READY = "ready"
    DRAINING = "draining"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the broker knows of a session: whose it is and where. No key is among it."""

    id: str
    person: str
    role: str
    kind: SessionKind
    label: str
    server: str
    slot: int | None
    epoch: int
    state: SessionState
    why: str
    started: datetime
    changed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A machine of the farm. `free` counts the broker's own unfinished starts, so that a storm does not pile up on stale reports."""

    id: str
    slots: int
    free: int
    state: ServerState
    load: float
    missing: tuple[str, ...]
    seen: datetime


@dataclass(frozen=True, slots=True)
class Rejoin:
    session: Session


@dataclass(frozen=True, slots=True)
class Place:
    server: str


def decide(live: Sequence[Session], servers: Sequence[Server], *, kind: SessionKind, label: str, now: datetime) -> Rejoin | Place:
    """Back to the live session of this person and label, or a new one on the least loaded server."""
    if len(label) > LABEL_CHARACTERS_MAX:
        raise Invalid("A session's label is too long.", hint=f"Use at most {LABEL_CHARACTERS_MAX} characters.", reason="label")
    if kind is SessionKind.PERSON and label:
        raise Invalid("A person has one session, without a label.", reason="label")
    mine = [session for session in live if session.state in LIVE]
    for session in mine:
        if session.label == label:
            _assert_answering(servers, session.server, now)
            return Rejoin(session)
    if kind is SessionKind.PROGRAM and len(mine) >= PROGRAM_SESSIONS_MAX:
        raise Busy(
            f"This program has {len(mine)} sessions; at most {PROGRAM_SESSIONS_MAX} are allowed at once.",
            hint="Reuse a label, or end one of its sessions.",
            reason="program-sessions",
        )
    return Place(place(servers, now=now))


def place(servers: Sequence[Server], *, now: datetime) -> str:
    """The ready server with the largest free share; its load, then its id, settle a tie."""
    if not servers:
        raise Unavailable("No server has reported in.", hint="Is the part 'agent' running?", reason="no-server")
    heard = [server for server in servers if now - server.seen < SERVER_SILENT and server.state is not ServerState.OFF]
    if not heard:
        raise Unavailable("No server has been heard of lately.", hint="Is the part 'agent' running?", reason="server-silent")
    ready = [server for server in heard if server.state is ServerState.READY]
    if not ready:
        raise Unavailable("Every server is draining.", hint="Wait for the maintenance to end.", reason="server-draining")
    roomy = [server for server in ready if server.free > 0]
    if not roomy:
        slots = sum(server.slots for server in ready)
        raise Busy(
            f"All {slots} session slots are taken.",
            hint="Try again when somebody has signed out, or set CLOISTER_SLOTS higher.",
            reason="slots",
        )
    return min(roomy, key=lambda server: (-server.free / server.slots, server.load, server.id)).id


def _assert_answering(servers: Sequence[Server], wanted: str, now: datetime) -> None:
    for server in servers:
        if server.id == wanted and now - server.seen < SERVER_SILENT:
            return
    raise Unavailable(f"The server '{wanted}', which holds your session, is silent.", hint="Try again in a minute.", reason="server-silent")
