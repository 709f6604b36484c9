"""The virtual clock: people come, walk about and go; servers start, die and stop; the real code decides. Checked at every step.

Real are placement (ranking, tolerance, refusals), licences, the queue, maintenance, and power with its policy and forecast.
Made up are people, and how long machines and sign-ins take.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from cloister.base.errors import Unavailable
from cloister.farm.placement import assert_answering
from cloister.farm.power.forecast import learn
from cloister.farm.power.plan import Placing
from cloister.farm.power.states import PowerEvent, PowerState
from cloister.farm.simulate.admission import Admission, Licences, assert_may_hold
from cloister.farm.simulate.estate import Estate, Group
from cloister.farm.simulate.machines import Person, SimServer, as_servers
from cloister.farm.simulate.people import DAY, Hospital, Visit, history, visits
from cloister.farm.simulate.plot import Counts, Plot

TICK: Final = 60.0
SILENCE: Final = 20.0  # from a death to its being noticed (SERVER_SILENT)
RETRY: Final = 0.5  # how often those who wait are tried again


class What(IntEnum):
    COME = 0
    STARTED = 1
    LEAVE = 2
    BACK = 3
    GO = 4
    LINGERED = 5
    UP = 6
    DOWN = 7
    DIE = 8
    NOTICED = 9
    TRY = 10
    TICK = 11


@dataclass(slots=True)
class Subject:
    """Whom an event is about."""

    group: Group
    person: Person

    @property
    def turn(self) -> int:
        return self.person.turn


class World:
    def __init__(self, plot: Plot) -> None:
        self.plot, self.now, self.counts = plot, 0.0, Counts()
        self._rng = random.Random(plot.seed)
        self._events: list[tuple[float, int, What, Any, int]] = []
        self._serial = 0
        self.licences = Licences(plot)
        self.groups = {hospital.name: self._group(hospital) for hospital in plot.hospitals}
        self._of = {server.id: (group, server) for group in self.groups.values() for server in group.servers}
        self._by_name = {name: as_servers([server])[0] for name, (_, server) in self._of.items()}
        self.estate = Estate(plot, self.counts, self._rng, up=self._will_be_up, down=self._will_be_down, move=self._move)
        self._trying: set[str] = set()
        self._visits: dict[int, Visit] = {}
        self._do: dict[What, Callable[[Any], None]] = {
            What.COME: self._come, What.STARTED: self._started, What.LEAVE: self._leave, What.BACK: self._back, What.GO: self._go,
            What.LINGERED: self._lingered, What.UP: self._up, What.DOWN: self._down, What.DIE: self._die, What.NOTICED: self._noticed,
            What.TRY: self._try, What.TICK: self._tick,
        }  # fmt: skip

    # --- the day ------------------------------------------------------------------------------------

    def run(self) -> None:
        self._begin()
        events = self._events
        while events and events[0][0] < DAY:
            self.now, _, what, subject, turn = heapq.heappop(events)
            if turn < 0 or subject.turn == turn:
                self._do[what](subject)
        self.now = DAY

    def moment(self) -> datetime:
        return self.plot.day + timedelta(seconds=self.now)

    @property
    def spent_hours(self) -> float:
        """Server-hours in which a machine was on: starting, serving or stopping."""
        return sum(server.spent(self.now) for _, server in self._of.values()) / 3600

    def _at(self, when: float, what: What, subject: Any, turn: int = -1) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, what, subject, turn))

    def _group(self, hospital: Hospital) -> Group:
        rng = random.Random(f"{self.plot.seed}/{hospital.name}")
        samples = history(hospital, self.plot.day, rng, days=self.plot.history_days, linger=self.plot.linger)
        forecast = learn(samples, now=self.plot.day, zone=self.plot.policy.zone)
        servers = [SimServer(f"{hospital.name}-{n:03d}", hospital.name, self.plot.slots, self.moment) for n in range(hospital.servers)]
        admission = Admission(hospital.name, servers, self.plot, self.licences, self.counts)
        return Group(hospital, servers, visits(hospital, self.plot.day, rng), forecast, admission)

    def _begin(self) -> None:
        """Midnight: the night shift is there, on as many servers as the policy wants for it."""
        number = 0
        for group in self.groups.values():
            there = sum(visit.comes < 0 for visit in group.visits)
            _, buffer = self.plot.policy.at(self.plot.day)
            for server in group.servers[: -(-int(there * (1 + buffer)) // self.plot.slots) + self.plot.policy.spare]:
                server.power = PowerState.ON
            for visit in group.visits:
                person = Person(number, self._rng.random() < self.plot.emergencies)
                number += 1
                self._visits[person.number] = visit
                self._at(max(0.0, visit.comes), What.COME, Subject(group, person))
        for _ in range(self.plot.deaths):
            self._at(self._rng.uniform(0, DAY), What.DIE, None)
        self._at(TICK, What.TICK, None)

    # --- people ---------------------------------------------------------------------------------------

    def _come(self, one: Subject) -> None:
        self._at(max(self.now, self._visit(one).goes), What.GO, one)
        self._want(one.group, one.person)

    def _visit(self, one: Subject) -> Visit:
        return self._visits[one.person.number]

    def _want(self, group: Group, person: Person) -> None:
        person.attended, person.since = True, self.now
        if group.admission.waiting or not self._placed(group, person):
            person.waits = True
            group.admission.wait(person, self.moment())
            self._try_later(group)

    def _placed(self, group: Group, person: Person) -> bool:
        server = self._of_midnight(group, person) if self.now <= 0 else group.admission.choose(person, self.moment())
        if server is None:
            return False
        server.held[person.number] = person
        person.server, person.turn, person.waits = server, person.turn + 1, False
        waited = self.now - person.since
        self.counts.placed += 1
        self.counts.waited += waited > 0
        self.counts.longest_wait = max(self.counts.longest_wait, waited)
        self.counts.licences_most = max(self.counts.licences_most, len(self.licences.held))
        if self.now > 0:
            server.starting, server.fresh, person.starting = server.starting + 1, server.fresh + 1, True
            self._at(self.now + self._rng.uniform(*self.plot.sign_in), What.STARTED, Subject(group, person), person.turn)
        assert_may_hold(server, self.plot)
        self.counts.checks += 1
        self._plan_leave(Subject(group, person))
        return True

    def _of_midnight(self, group: Group, person: Person) -> SimServer:
        """Who is there at midnight signed in long ago."""
        person.seat = self.licences.lease(person, self.moment())
        return min((s for s in group.servers if s.free > 0 and s.power is PowerState.ON), key=lambda s: (len(s.held), s.id))

    def _started(self, one: Subject) -> None:
        if one.person.starting and one.person.server is not None:
            one.person.server.starting -= 1
            one.person.starting = False
            one.group.admission.started(one.person.server)

    def _plan_leave(self, one: Subject) -> None:
        stays = 10 + self._rng.expovariate(1 / self._visit(one).here)
        self._at(self.now + stays, What.LEAVE, one, one.person.turn)

    def _leave(self, one: Subject) -> None:
        """The badge is out: the session is disconnected and keeps its place."""
        one.person.attended, one.person.since = False, self.now
        if not one.person.done:
            self._back_later(one)

    def _back_later(self, one: Subject) -> None:
        self._at(self.now + self._rng.expovariate(1 / self._visit(one).away), What.BACK, one, one.person.turn)

    def _back(self, one: Subject) -> None:
        """At another terminal: back to the session, or to a new one if its server was emptied or has died."""
        person = one.person
        if person.done:
            return
        if person.server is None:
            self._want(one.group, person)
            return
        try:
            assert_answering(self._by_name, person.server.id, self.moment())
        except Unavailable:
            self._at(self.now + 1.0, What.BACK, one, person.turn)  # silent; noticed within SILENCE
            return
        person.attended, person.since = True, self.now
        self.counts.rejoined += 1
        self._plan_leave(one)

    def _go(self, one: Subject) -> None:
        person = one.person
        person.done = True
        if person.waits:
            one.group.admission.leave(person)
            person.waits = False
        elif person.server is not None and self._visit(one).signs_out:
            self._end(one.group, person)
        elif person.server is not None:
            if person.attended:
                person.attended, person.since = False, self.now
            self._at(self.now + self.plot.linger, What.LINGERED, one, person.turn)

    def _lingered(self, one: Subject) -> None:
        self._end(one.group, one.person)

    def _end(self, group: Group, person: Person) -> None:
        server = person.server
        if server is None:
            return
        del server.held[person.number]
        server.starting -= person.starting
        group.admission.ended(server, starting=person.starting)
        self.licences.give_back(person.seat)
        person.server, person.starting, person.turn = None, False, person.turn + 1

    def _move(self, group: Group, person: Person) -> None:
        """Its server is being emptied: the session ends. Who is before it signs in again at once, others when they come back."""
        self._end(group, person)
        self.counts.moved += 1
        self._again(Subject(group, person), asked=True)

    def _again(self, one: Subject, *, asked: bool = False) -> None:
        if one.person.done:
            return
        if one.person.attended:
            self.counts.asked_to_move += asked
            self._want(one.group, one.person)
        else:
            self._back_later(one)

    # --- those who wait --------------------------------------------------------------------------------

    def _try_later(self, group: Group) -> None:
        if group.hospital.name not in self._trying:
            self._trying.add(group.hospital.name)
            self._at(self.now + RETRY, What.TRY, group)

    def _try(self, group: Group) -> None:
        self._trying.discard(group.hospital.name)
        waiting = group.admission.waiting
        while waiting and self._placed(group, waiting[0][1]):
            waiting.pop(0)
        if waiting:
            self.counts.longest_wait = max(self.counts.longest_wait, max(self.now - person.since for _, person in waiting))
            self._try_later(group)

    # --- machines ---------------------------------------------------------------------------------------

    def _will_be_up(self, server: SimServer, when: float) -> None:
        self._at(when, What.UP, (server, server.since))

    def _will_be_down(self, server: SimServer, when: float) -> None:
        self._at(when, What.DOWN, server)

    def _up(self, what: tuple[SimServer, float]) -> None:
        server, began = what
        if server.power is PowerState.BOOTING and server.since == began:
            server.happens(PowerEvent.HELLO, self.now)
            server.hello, server.failures, server.renewing = self.now, 0, False
            self._of[server.id][0].admission.changed()

    def _down(self, server: SimServer) -> None:
        if server.power is PowerState.STOPPING:
            server.happens(PowerEvent.GONE, self.now)
            if server.renewing:
                self.estate.start(server, self.now)
            else:
                server.placing = Placing.OPEN

    def _die(self, _: None) -> None:
        """One of the servers that run, without a word."""
        group, server = self._rng.choice([one for one in self._of.values() if one[1].power is PowerState.ON and not one[1].dead])
        server.dead = True
        self.counts.deaths += 1
        group.admission.changed()
        self._at(self.now + SILENCE, What.NOTICED, server)

    def _noticed(self, server: SimServer) -> None:
        """The server is silent: its sessions are lost, and whoever looks at one signs in again at once."""
        group = self._of[server.id][0]
        lost = list(server.held.values())
        for person in lost:
            self._end(group, person)
        server.dead = False
        if server.power is PowerState.ON:
            server.happens(PowerEvent.LOST, self.now)
            server.failures += 1
        group.admission.changed()
        for person in lost:
            self.counts.interrupted += 1
            self._again(Subject(group, person))

    # --- once a minute -----------------------------------------------------------------------------------

    def _tick(self, _: None) -> None:
        for group in self.groups.values():
            self.estate.turn(group, self.now)
        self._recount()
        self._at(self.now + TICK, What.TICK, None)

    def _recount(self) -> None:
        """From nothing, so that no sum drifts: what must hold of the whole farm."""
        held = 0
        for _, server in self._of.values():
            if server.held:
                held += len(server.held)
                assert server.power is PowerState.ON, f"{server.id} is {server.power} and holds sessions"
                assert len(server.held) <= server.slots
                assert server.starting == sum(one.starting for one in server.held.values()) <= self.plot.tolerance
        assert held == len(self.licences.held) <= self.plot.licences
        self.counts.most_at_once = max(self.counts.most_at_once, held)
