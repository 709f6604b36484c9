"""What a session's pages work with: made by the assembly each time the session was unlocked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloister.access import Actor, Policy, rules
from cloister.base.clock import Clock, system_clock
from cloister.base.errors import Denied, Unavailable
from cloister.base.wire import Caller
from cloister.epr import Ward
from cloister.identity import passkey
from cloister.offices import glass, recovery
from cloister.records import Records
from cloister.server import programs as published
from cloister.web.allowed import AppsAllowed, Ask
from cloister.web.drafts import Drafts
from cloister.web.enrolment import Enrolments
from cloister.web.lost import CameBack
from cloister.web.refusing import Refusals
from cloister.web.shadows import Shadows
from cloister.zones import Keyring


class Standings(Protocol):
    """Where a request comes from and how its person proved themselves (assemble/standings.py)."""

    @property
    def bundle(self) -> rules.Bundle: ...
    def of(self, scope: Any, token: Any) -> rules.Standing: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One unlocked session, as its pages see it."""

    actor: Actor
    records: Records
    gate: Caller
    policy: Policy
    trust: str  # the trust's name
    hospital: str  # the name of the person's hospital, or nothing
    wards: tuple[Ward, ...]
    idle_lock_seconds: int
    party: passkey.RelyingParty
    card: str = ""  # the name of the card's key that opened this session, if one did: its pages lock it when the card goes
    clock: Clock = system_clock
    enrolments: Enrolments = field(default_factory=Enrolments)
    seats: recovery.Seats = field(default_factory=recovery.Seats)  # of recovery ceremonies
    opened: Keyring | None = None
    directory: Mapping[str, Any] = field(default_factory=dict)  # names of people, hospitals, wards and zones
    in_need: glass.Glass | None = None
    apps: AppsAllowed | None = None
    drafts: Drafts | None = None
    came_back: CameBack | None = None
    programs: published.Programs | None = None
    shadows: Shadows | None = None
    nudge: Ask | None = None  # tells the open pages of a person to look whether somebody asks to see their screen
    operate: Ask | None = None  # an operator's question to the controller; which decides by its own rows whether this is one
    ask: Callable[..., Awaitable[dict[str, Any]]] | None = None  # the door, about one's own sign-in
    standings: Standings | None = None
    refusals: Refusals | None = None

    async def door(self, what: str, **words: Any) -> dict[str, Any]:
        """A question to the door about one's own sign-in."""
        if self.ask is None:
            raise Unavailable("The door does not answer.", hint="Try again in a moment.", reason="controller")
        return await self.ask(what, **words)

    @property
    def allowed_apps(self) -> AppsAllowed:
        """The apps that this person let in."""
        if self.apps is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        return self.apps

    @property
    def beside(self) -> published.Programs:
        """The published programs beside this session."""
        if self.programs is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        return self.programs

    @property
    def glass(self) -> glass.Glass:
        """The session's break-glass: what it asked for and what is open."""
        if self.in_need is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        return self.in_need

    @property
    def keyring(self) -> Keyring:
        """For the offices' acts, which sign and pass keys on."""
        if self.opened is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        return self.opened


DeskOf = Callable[[Any], Desk]  # the session runtime to its desk


class Held(Protocol):
    """A zone of a keyring (cloister.zones.keyring.HeldZone)."""

    @property
    def zone(self) -> str: ...
    @property
    def hospital(self) -> str: ...
    @property
    def ward(self) -> str | None: ...
    @property
    def rights(self) -> frozenset[str]: ...


def wards_of(held: Iterable[Held], wards: Iterable[Mapping[str, Any]], hospitals: Iterable[Mapping[str, Any]]) -> tuple[Ward, ...]:
    """The wards whose patients this keyring opens: those of its ward zones first, then all of its hospital zones.

    `wards` and `hospitals` are rows of the directory: {id, hospital, name, zone, ordinal} and {id, name, zone}.
    """
    names = {str(row["id"]): str(row["name"]) for row in hospitals}
    readable = [zone for zone in held if "read" in zone.rights]
    own = {zone.zone for zone in readable if zone.ward}
    whole = {zone.hospital for zone in readable if not zone.ward}
    chosen = [row for row in wards if row["zone"] in own or row["hospital"] in whole]
    chosen.sort(key=lambda row: (row["zone"] not in own, row["hospital"], row["ordinal"]))
    return tuple(Ward(id=str(row["id"]), name=str(row["name"]), hospital=names.get(str(row["hospital"]), "")) for row in chosen)
