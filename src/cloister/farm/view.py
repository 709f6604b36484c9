"""A broker's view of the farm: the store's last snapshot, and its rankings corrected by what was placed since.

Reading 1,400 servers takes tens of milliseconds. Nobody waits for it who can do with what was known a moment ago: the claim in
the store decides by the counts of now, and who would be refused is judged once more by a new snapshot (placing.py). Between two
reads there is a rest that follows what the last one took: in a storm brokers would otherwise read more than they place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from cloister.base.clock import Clock
from cloister.farm.claims import Claimed, Snapshot
from cloister.farm.placement import Wanted
from cloister.farm.ranking import Ranking
from cloister.farm.store import Store

ELSEWHERE = -1  # somebody else was claiming this server just then
NOT_READY = -2
USABLE: Final = 12  # times the age at which a newer one is asked for: 6 s, and every broker asks each TEND_SECONDS anyway

RESTS: Final = 20  # times what a read took, until the next one that nobody waits for: at most a twentieth of a broker's time
REST_SECONDS_MAX: Final = 3.0


class View:
    """Asked for again when it is older than `seconds`: one asks for all, and only who needs a new one waits for the answer."""

    def __init__(self, store: Store, clock: Clock, *, salt: str, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._salt = salt
        self._seconds = seconds
        self._snapshot: Snapshot | None = None
        self._known: Snapshot | None = None  # the last one, also when it is known to be old
        self._taken_at = clock()
        self._asking: asyncio.Task[Snapshot] | None = None
        self._rankings: dict[tuple[str, tuple[str, ...]], Ranking] = {}  # by application, and the groups that publish it
        self._renewed: dict[tuple[str, tuple[str, ...]], Snapshot] = {}  # by which snapshot each was made or renewed last
        self._silent: set[str] = set()
        self._asked_at = self._taken_at
        self._rest = 0.0

    @property
    def age_seconds(self) -> float:
        return (self._clock() - self._taken_at).total_seconds()

    def stale(self) -> None:
        """What is known is known to be old."""
        self._snapshot = None

    @property
    def old(self) -> bool:
        return self._snapshot is None or not 0 <= self.age_seconds < self._seconds

    async def fresh(self) -> Snapshot:
        if self._snapshot is not None and not self.old:
            return self._snapshot
        return await asyncio.shield(self._ask())  # one who gives up takes the answer from nobody else

    async def usable(self) -> Snapshot:
        """What is known, if it is not too old; a newer one is then asked for, and comes to the next who ask."""
        if self._snapshot is None or not 0 <= self.age_seconds < self._seconds * USABLE:
            return await self.fresh()
        if self.age_seconds >= max(self._seconds, self._rest):
            self._ask()
        return self._snapshot

    def _ask(self) -> asyncio.Task[Snapshot]:
        if self._asking is None:
            self._asked_at = self._clock()
            self.each(Ranking.reading)
            self._asking = asyncio.create_task(self._store.snapshot(now=self._asked_at))
            self._asking.add_done_callback(self._answered)
        return self._asking

    def _answered(self, task: asyncio.Task[Snapshot]) -> None:
        self._asking = None
        if task.cancelled() or task.exception() is not None:
            return
        before, self._snapshot = self._known, task.result()
        self._known = self._snapshot
        self._taken_at = self._clock()
        self._rest = min(REST_SECONDS_MAX, RESTS * max(0.0, (self._taken_at - self._asked_at).total_seconds()))
        self._silent.clear()
        if before is None or _arranged(before) != _arranged(self._known):
            self._rankings, self._renewed = {}, {}

    def ranking(self, snapshot: Snapshot, wanted: Wanted) -> Ranking:
        """Made once, and then renewed by the newest snapshot when somebody wants it again."""
        publishing = (one.id for one in snapshot.groups.values() if one.publishes(wanted.application, wanted.hospital, wanted.role))
        key = (wanted.application, tuple(publishing))  # hospitals and roles that the same groups serve share one
        found, newest = self._rankings.get(key), self._known or snapshot
        if found is not None and self._renewed[key] is newest:
            return found
        self._renewed[key] = newest
        servers = [server for server in newest.servers.values() if server.id not in self._silent]
        if found is None:
            found = Ranking(servers, newest.groups, wanted=wanted, now=newest.at, salt=self._salt, brokers=newest.brokers)
            self._rankings[key] = found
        else:
            found.renew(servers, newest.groups, now=newest.at)
        return found

    def each(self, what: Callable[[Ranking], None]) -> None:
        """One server is in several rankings, if it publishes several applications."""
        for ranking in self._rankings.values():
            what(ranking)

    def learnt(self, claimed: Claimed) -> None:
        """What the store says of the servers that it looked at."""
        for server, (taken, starting) in claimed.held.items():
            if taken == NOT_READY:
                self.stale()
            elif taken != ELSEWHERE:
                self.each(lambda ranking, server=server, n=taken, s=starting: ranking.set(server, taken=n, starting=s))  # type: ignore[misc]

    def unusable(self, server: str) -> None:
        """It does not answer; until the next snapshot it is not asked again."""
        self._silent.add(server)
        self.each(lambda ranking: ranking.without(server))


def _arranged(snapshot: Snapshot) -> tuple[object, ...]:
    """What rankings are made by: when it changes they are made anew."""
    return snapshot.groups, snapshot.brokers, snapshot.away
