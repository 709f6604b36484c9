"""Who gets which server and which licence now, and who waits: the broker's own ranking, licences and queue, without its database."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cloister.base.errors import Busy, Unavailable
from cloister.farm.groups import RECORD, Group
from cloister.farm.licences import LEASE, Pool, Seat, take
from cloister.farm.placement import Wanted
from cloister.farm.power.plan import Placing
from cloister.farm.power.states import PowerState
from cloister.farm.queue import Waiting, place_of
from cloister.farm.ranking import Ranking
from cloister.farm.simulate.machines import Person, SimServer, as_servers
from cloister.farm.simulate.plot import Counts, Plot

ROLE: Final = "nurse"


class Licences:
    """One pool of the whole trust. A seat that is handed out twice would overwrite another's: that is asserted."""

    def __init__(self, plot: Plot) -> None:
        self.pool = Pool(application=RECORD, seats=plot.licences, reserve=plot.reserve)
        self.held: dict[int, Seat] = {}
        self._after = 0

    def lease(self, person: Person, now: datetime) -> int:
        number = take(self.pool, self.held, emergency=person.emergency, now=now, after=self._after)
        assert number not in self.held, f"licence {number} is handed out twice"
        self.held[number] = Seat(number, str(person.number), now + LEASE)
        self._after = number
        assert len(self.held) <= self.pool.seats, f"{len(self.held)} licences are out"
        return number

    def give_back(self, number: int) -> None:
        del self.held[number]


class Admission:
    """One delivery group's. The ranking is made anew when a server comes or goes, and corrected by what is placed meanwhile."""

    def __init__(self, group: str, servers: list[SimServer], plot: Plot, licences: Licences, counts: Counts) -> None:
        self._servers, self._plot, self._licences, self._counts = {one.id: one for one in servers}, plot, licences, counts
        self._groups = {group: Group(id=group, hospital=group, tolerance=plot.tolerance)}
        self._wanted = Wanted(person=group, role=ROLE, hospital=group)
        self._ranking: Ranking | None = None
        self._arrivals = 0
        self.waiting: list[tuple[Waiting, Person]] = []  # by the queue's own order

    def changed(self) -> None:
        """A server came, went, or is kept from now on: what was ranked is no longer true."""
        self._ranking = None

    def choose(self, person: Person, now: datetime) -> SimServer | None:
        """The server, with a licence leased; None, counted by reason, when the person must wait."""
        if self._ranking is None:
            known = as_servers(one for one in self._servers.values() if one.power is PowerState.ON)
            self._ranking = Ranking(known, self._groups, wanted=self._wanted, now=now)
        try:
            best = self._ranking.best(1)[0]
            person.seat = self._licences.lease(person, now)
        except (Busy, Unavailable) as refused:
            self._counts.refusals[refused.reason] = self._counts.refusals.get(refused.reason, 0) + 1
            return None
        self._ranking.placed(best.server)
        return self._servers[best.server]

    def started(self, server: SimServer) -> None:
        if self._ranking is not None:
            self._ranking.ready(server.id)

    def ended(self, server: SimServer, *, starting: bool) -> None:
        if self._ranking is not None:
            self._ranking.correct(server.id, taken=-1, starting=-1 if starting else 0)

    def wait(self, person: Person, now: datetime) -> None:
        self._arrivals += 1
        mine = Waiting(
            person=str(person.number), application=RECORD, label="", emergency=person.emergency, number=self._arrivals, since=now, asked=now
        )
        self.waiting.append((mine, person))
        self.waiting.sort(key=lambda one: one[0].order)
        place = place_of(mine, (other for other, _ in self.waiting), now)
        self._counts.longest_queue = max(self._counts.longest_queue, place.of)

    def leave(self, person: Person) -> None:
        self.waiting = [one for one in self.waiting if one[1] is not person]


def assert_may_hold(server: SimServer, plot: Plot) -> None:
    """At every placement: the server is on, takes sessions, has a slot, and is within its tolerance."""
    assert server.power is PowerState.ON, f"placed on {server.id}, which is {server.power}"
    assert server.placing is Placing.OPEN, f"placed on {server.id}, which is kept ({server.placing})"
    assert server.turn is None or server.turn.value in ("waiting", "done"), f"placed on {server.id}, which is in maintenance"
    assert len(server.held) <= server.slots, f"{server.id} holds {len(server.held)} sessions"
    assert server.starting <= plot.tolerance, f"{server.id} has {server.starting} sign-ins at once"
