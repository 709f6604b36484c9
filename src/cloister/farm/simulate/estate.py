"""The farm's own turns in the simulation, once a minute: power is planned, servers are emptied, a window opens and rolls on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cloister.farm.maintenance.rolling import AWAY, Turn, moves, room, serving, takes
from cloister.farm.maintenance.windows import due
from cloister.farm.power.emptying import Held, emptying
from cloister.farm.power.forecast import Forecast
from cloister.farm.power.plan import Action, Placing, Plan, plan
from cloister.farm.power.states import PowerEvent, PowerState
from cloister.farm.simulate.admission import Admission
from cloister.farm.simulate.machines import RUNS, Person, SimServer
from cloister.farm.simulate.people import Hospital, Visit
from cloister.farm.simulate.plot import Counts, Plot


@dataclass(slots=True)
class Group:
    hospital: Hospital
    servers: list[SimServer]
    visits: list[Visit]
    forecast: Forecast
    admission: Admission
    too_many_since: datetime | None = None
    last: Plan | None = None
    window_began: datetime | None = None
    held: list[int] = field(default_factory=list)
    on: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


class Estate:
    """`up` and `down` are told when a machine will be up or down; `move` ends a session on a server that is being emptied."""

    def __init__(
        self, plot: Plot, counts: Counts, rng: random.Random, *, up: Callable[[SimServer, float], None],
        down: Callable[[SimServer, float], None], move: Callable[[Group, Person], None],
    ) -> None:  # fmt: skip
        self._plot, self._counts, self._rng, self._up, self._down, self._move = plot, counts, rng, up, down, move

    def turn(self, group: Group, at: float) -> None:
        now = self._plot.day + timedelta(seconds=at)
        for server in group.servers:
            if server.power is PowerState.BOOTING and at - server.since > self._plot.policy.boot_max:
                server.happens(PowerEvent.LATE, at)
                server.failures += 1
            server.report()
        self._plan(group, at, now)
        self._maintain(group, at, now)
        group.admission.changed()
        self._empty_out(group, at)
        group.waiting.append(len(group.admission.waiting))
        group.held.append(sum(len(server.held) for server in group.servers) + group.waiting[-1])
        group.on.append(sum(server.power in RUNS for server in group.servers))

    # --- power ---------------------------------------------------------------------------------------

    def _plan(self, group: Group, at: float, now: datetime) -> None:
        machines = [server.as_machine(self._plot.day) for server in group.servers]
        waiting = len(group.admission.waiting)
        made = plan(
            machines,
            self._plot.policy,
            group.forecast,
            now=now,
            too_many_since=group.too_many_since,
            waiting=waiting,
            extra=self._extra(group),
        )
        group.too_many_since, group.last = made.too_many_since, made
        named = {server.id: server for server in group.servers}
        for one in made.steps:
            self._obey(named[one.machine], one.action, at)

    def _extra(self, group: Group) -> int:
        """Servers that the maintenance would have out, while it goes on and none is out yet."""
        if group.window_began is None or self._plot.window is None:
            return 0
        members = [server.as_member(self._plot.day) for server in group.servers]
        out = sum(m.turn in (Turn.EMPTYING, Turn.OUT) for m in members)
        return max(0, takes(members, self._plot.window.percent) - out)

    def _obey(self, server: SimServer, action: Action, at: float) -> None:
        if action is Action.START:
            self.start(server, at)
        elif action is Action.EMPTY:
            server.placing, server.emptied = Placing.EMPTYING, at
        elif action is Action.TAKE_BACK:
            self._counts.taken_back += 1
            server.placing = Placing.OPEN
        else:
            self.stop(server, at)

    def start(self, server: SimServer, at: float) -> None:
        self._counts.starts += 1
        server.happens(PowerEvent.BOOT, at)
        if self._rng.random() >= self._plot.starts_that_fail:
            self._up(server, at + self._rng.uniform(*self._plot.boot))

    def stop(self, server: SimServer, at: float) -> None:
        assert not server.held, f"{server.id} is stopped with {len(server.held)} sessions"
        self._counts.stops += 1
        server.happens(PowerEvent.STOP, at)
        self._down(server, at + self._rng.uniform(*self._plot.stop))

    # --- maintenance -----------------------------------------------------------------------------------

    def _maintain(self, group: Group, at: float, now: datetime) -> None:
        window = self._plot.window
        if window is None or window.group != group.hospital.name:
            return
        if due([window], {window.id: group.window_began} if group.window_began else {}, now=now):
            group.window_began = now
            for server in group.servers:
                server.turn, server.turn_since = Turn.WAITING, at
        if group.window_began is not None:
            self._roll(group, at, now, window.percent)

    def _roll(self, group: Group, at: float, now: datetime, percent: int) -> None:
        named = {server.id: server for server in group.servers}
        members = [server.as_member(self._plot.day) for server in group.servers]
        needed = group.last.needed if group.last is not None else 0
        decided = moves(members, percent=percent, restart=True, now=now, needed=needed)
        for name in decided.done:
            _turned(named[name], Turn.DONE, at)
            named[name].placing = Placing.OPEN
        for name in decided.failed:
            _turned(named[name], Turn.FAILED, at)
        for name in decided.out:
            _turned(named[name], Turn.OUT, at)
            self._counts.renewed += 1
            named[name].renewing = True
            self.stop(named[name], at)
        for name in decided.empty:
            _turned(named[name], Turn.EMPTYING, at)
            named[name].placing, named[name].emptied = Placing.CLOSED, at
        if decided.empty:
            after = [server.as_member(self._plot.day) for server in group.servers]
            out = sum(m.state in AWAY or m.turn in (Turn.EMPTYING, Turn.OUT, Turn.FAILED) for m in after)
            self._counts.out_at_once = max(self._counts.out_at_once, out)
            assert out <= room(serving(after), percent), f"{out} of {serving(after)} servers are out at once"

    # --- emptying ----------------------------------------------------------------------------------------

    def _empty_out(self, group: Group, at: float) -> None:
        """Sessions that nobody looks at end on servers that are being emptied; at the deadline all do."""
        policy, window = self._plot.policy, self._plot.window
        for server in group.servers:
            if not server.held or server.placing is Placing.OPEN or server.power is not PowerState.ON:
                continue
            seconds = window.deadline if window is not None and server.placing is Placing.CLOSED else policy.deadline
            held = {str(number): person for number, person in server.held.items()}
            facts = [Held(name, one.attended, at - one.since, told=True) for name, one in held.items()]
            left = server.emptied + seconds - at if seconds else None
            for name in emptying(facts, leave=policy.leave, left=left).end:
                self._move(group, held[name])


def _turned(server: SimServer, turn: Turn, at: float) -> None:
    server.turn, server.turn_since = turn, at
