"""What a session's pages work with: made by the assembly each time the session was unlocked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloister.access import Actor, Policy
from cloister.base.clock import Clock, system_clock
from cloister.base.errors import Denied
from cloister.base.wire import Caller
from cloister.epr import Ward
from cloister.identity import passkey
from cloister.offices import glass, recovery
from cloister.records import Records
from cloister.web.allowed import AppsAllowed
from cloister.web.enrolment import Enrolments
from cloister.zones import Keyring


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

    @property
    def allowed_apps(self) -> AppsAllowed:
        """The apps that this person let in."""
        if self.apps is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        return self.apps

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
