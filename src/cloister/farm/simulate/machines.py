"""The servers of the simulation: they start, hold sessions, die and stop, as slowly as real ones. Seconds since midnight."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cloister.farm.maintenance.rolling import Member, Turn
from cloister.farm.placement import Server, ServerState
from cloister.farm.power.plan import Machine, Placing
from cloister.farm.power.states import PowerEvent, PowerState, step

SILENT: Final = timedelta(days=1)
RUNS: Final = frozenset({PowerState.BOOTING, PowerState.ON, PowerState.STOPPING})


@dataclass(slots=True, eq=False)
class Person:
    """One person in the simulation, and the session that he or she has, if any."""

    number: int
    emergency: bool
    server: SimServer | None = None
    seat: int = 0
    attended: bool = False
    since: float = 0.0  # of `attended`, or of the wait
    turn: int = 0  # events of an earlier turn are void
    starting: bool = False
    done: bool = False  # the working time is over
    waits: bool = False


@dataclass(slots=True, eq=False)
class SimServer:
    """A machine as the broker sees it (the members of `Server`), as the planner and as the maintenance see it."""

    id: str
    group: str
    slots: int
    now: Callable[[], datetime]
    power: PowerState = PowerState.OFF
    placing: Placing = Placing.OPEN
    since: float = 0.0
    emptied: float = 0.0  # since when it is being emptied
    starting: int = 0
    fresh: int = 0
    failures: int = 0
    dead: bool = False
    renewing: bool = False  # switched off to be switched on
    on_seconds: float = 0.0
    hello: float = 0.0
    turn: Turn | None = None  # in a maintenance
    turn_since: float = 0.0
    held: dict[int, Person] = field(default_factory=dict)
    load: float = 0.0
    memory: float = 0.3
    image: str = ""
    why: str = ""
    missing: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        return (self.group,)

    @property
    def free(self) -> int:
        return self.slots - len(self.held)

    @property
    def taken(self) -> int:
        return len(self.held)

    @property
    def state(self) -> ServerState:
        if self.turn is Turn.OUT:
            return ServerState.MAINTENANCE
        if self.power is PowerState.BOOTING:
            return ServerState.STARTING
        if self.power is not PowerState.ON:
            return ServerState.OFF
        return ServerState.READY if self.placing is Placing.OPEN else ServerState.DRAINING

    @property
    def seen(self) -> datetime:
        """A server that lives reports; how often does not matter to what is decided here."""
        return self.now() - SILENT if self.dead else self.now()

    def report(self) -> None:
        """What its agent says of its load: half a processor's share when it is full, and memory by session."""
        share = len(self.held) / self.slots
        self.load, self.memory, self.fresh = 0.5 * share, 0.3 + 0.5 * share, 0

    def happens(self, event: PowerEvent, at: float) -> None:
        """To the next state of power, by the real table; what was drawn from the mains is counted."""
        if self.power in RUNS:
            self.on_seconds += at - self.since
        self.power, self.since = step(self.power, event), at

    def spent(self, at: float) -> float:
        return self.on_seconds + (at - self.since if self.power in RUNS else 0.0)

    def as_machine(self, midnight: datetime) -> Machine:
        held = self.held
        return Machine(
            id=self.id, power=self.power, placing=self.placing, since=midnight + timedelta(seconds=self.since), sessions=len(held),
            attended=sum(one.attended for one in held.values()) if held else 0, capacity=self.slots, failures=self.failures,
            held=self.renewing,
        )  # fmt: skip

    def as_member(self, midnight: datetime) -> Member:
        assert self.turn is not None
        since, hello = (midnight + timedelta(seconds=at) for at in (self.turn_since, self.hello))
        return Member(server=self.id, turn=self.turn, since=since, state=self.state, sessions=len(self.held), hello=hello)


def as_servers(servers: Iterable[SimServer]) -> list[Server]:
    """The broker's functions read only the members that both have."""
    return list(servers)  # type: ignore[arg-type]
