"""Servers, sessions, and who comes back to what: pure decisions over what the store says. Where a new session goes: ranking.py.

Reconnect first. A refusal names the constraint that refused, with counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cloister.base.errors import Busy, Invalid, Unavailable
from cloister.farm.groups import DEFAULT_GROUP, RECORD, Application
from cloister.farm.states import LIVE, SessionState

PROGRAM_SESSIONS_MAX: Final = 4  # at once, told apart by label
PERSON_SESSIONS_MAX: Final = 16  # at once, of all applications
SERVER_SILENT: Final = timedelta(seconds=20)  # four missed heartbeats
LABEL_CHARACTERS_MAX: Final = 64


class SessionKind(StrEnum):
    PERSON = "person"
    PROGRAM = "program"


class ServerState(StrEnum):
    """Only a READY server is given new sessions; what has a session on a DRAINING one may come back to it."""

    STARTING = "starting"  # switched on, not heard of yet
    READY = "ready"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    UNHEALTHY = "unhealthy"  # failed its own health check; `why` says what
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
    application: str = RECORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A machine of the farm, as it last reported, and what the brokers have placed on it, which is always current.

    `load`: run queue per processor; `memory`: used share. `free` slots count unfinished starts too; `starting` are those;
    `fresh`: sessions placed since `seen`, which the reported load does not know of yet.
    """

    id: str
    slots: int
    free: int
    state: ServerState
    load: float
    missing: tuple[str, ...]
    seen: datetime
    memory: float = 0.0
    groups: tuple[str, ...] = (DEFAULT_GROUP,)
    image: str = ""
    why: str = ""
    starting: int = 0
    fresh: int = 0

    @property
    def taken(self) -> int:
        return self.slots - self.free


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Who asks for what. `hospital` is the person's; `emergency` may use what is kept in reserve."""

    person: str
    role: str
    kind: SessionKind = SessionKind.PERSON
    label: str = ""
    application: str = RECORD
    hospital: str = ""
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class Rejoin:
    session: Session


@dataclass(frozen=True, slots=True)
class New:
    """A new session is due; where, ranking.py says."""


def decide(
    live: Sequence[Session], servers: Mapping[str, Server], *, wanted: Wanted, application: Application, now: datetime
) -> Rejoin | New:
    """Back to the live session of this person, application and label, whatever else there is; otherwise a new one, within the limits."""
    check(wanted)
    mine = [session for session in live if session.state in LIVE]
    for session in mine:
        if (session.application, session.label) == (wanted.application, wanted.label):
            assert_answering(servers, session.server, now)
            return Rejoin(session)
    of_application = sum(session.application == wanted.application for session in mine)
    most, reason = each_max(wanted, application)
    if of_application >= most:
        raise too_many(of_application, most, reason)
    if len(mine) >= PERSON_SESSIONS_MAX:
        raise too_many(len(mine), PERSON_SESSIONS_MAX, "person-sessions")
    return New()


def each_max(wanted: Wanted, application: Application) -> tuple[int, str]:
    """How many sessions of one application somebody may have at once, and what refuses more."""
    if wanted.kind is SessionKind.PROGRAM:
        return PROGRAM_SESSIONS_MAX, "program-sessions"
    return application.each_max, "person-sessions"


def too_many(has: int, most: int, reason: str) -> Busy:
    whose = "This program has" if reason == "program-sessions" else "You have"
    hint = "Reuse a label, or end one of its sessions." if reason == "program-sessions" else "End one of them first."
    return Busy(f"{whose} {has} sessions; at most {most} are allowed at once.", hint=hint, reason=reason)


def check(wanted: Wanted) -> None:
    if len(wanted.label) > LABEL_CHARACTERS_MAX:
        raise Invalid("A session's label is too long.", hint=f"Use at most {LABEL_CHARACTERS_MAX} characters.", reason="label")
    if wanted.kind is SessionKind.PERSON and wanted.label:
        raise Invalid("A person has one session of an application, without a label.", reason="label")


def silent(server: Server, now: datetime) -> bool:
    return now - server.seen >= SERVER_SILENT


def assert_answering(servers: Mapping[str, Server], wanted: str, now: datetime) -> None:
    server = servers.get(wanted)
    if server is None or silent(server, now):
        text = f"The server '{wanted}', which holds your session, is silent."
        raise Unavailable(text, hint="Try again in a minute.", reason="server-silent")
