"""What a broker knows of the farm, kept beside the database for when it is away. docs/farm.md, "When the database is away".

It answers as the store does, with three differences: a server that was heard of when the database was lost counts as answering, until
its agent does not; a new session is sent where every other broker would send this person; and an application with licences starts
only on those that this broker keeps for the purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from cloister.farm.claims import PoolNow, Snapshot
from cloister.farm.licences import LEASE, Seat, Usage
from cloister.farm.memory import MemoryStore
from cloister.farm.placement import SERVER_SILENT, Session
from cloister.farm.states import SessionState


class LocalCopy(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.heard: frozenset[str] = frozenset()  # servers that answered when the database was lost
        self.kept: dict[str, set[int]] = {}  # numbers of seats, by application
        self.touched: dict[str, None] = {}  # sessions to bring to the database afterwards
        self.seat_of: dict[str, int] = {}
        self._known_pools: dict[str, PoolNow] = {}
        self._copying = False

    def copy(self, snapshot: Snapshot, kept: Mapping[str, set[int]]) -> None:
        """The farm as the database says it is."""
        self.seen_servers = dict(snapshot.servers)
        self.published, self.delivery = dict(snapshot.applications), dict(snapshot.groups)
        self.pools = {name: one.pool for name, one in snapshot.pools.items()}
        self._known_pools, self.kept = dict(snapshot.pools), {name: set(numbers) for name, numbers in kept.items()}
        self.heard = frozenset(one.id for one in snapshot.servers.values() if snapshot.at - one.seen < SERVER_SILENT)

    def learn(self, changed: Iterable[Session]) -> None:
        """Sessions as the database says they are: nothing is to be brought to it."""
        self._copying = True
        try:
            for row in changed:
                self.write(row)
                if row.state is SessionState.ENDED:
                    del self.rows[row.id]
        finally:
            self._copying = False

    def write(self, row: Session) -> None:
        super().write(row)
        if not self._copying:
            self.touched[row.id] = None

    async def snapshot(self, *, now: datetime) -> Snapshot:
        found = await super().snapshot(now=now)
        servers = {name: replace(one, seen=now) if name in self.heard else one for name, one in found.servers.items()}
        pools = {name: _only_kept(one, len(self.kept.get(name, ()))) for name, one in self._known_pools.items()}
        return replace(found, servers=servers, pools=pools, away=True)

    def _take(self, application: str, session: str, emergency: bool, now: datetime) -> int | None:
        kept = self.kept.get(application)
        if not kept:
            return None
        number = kept.pop()
        self.seat_of[session] = number
        self.seats.setdefault(application, {})[number] = Seat(number, session, now + LEASE)
        return number

    def _give_back(self, session: str) -> None:
        number = self.seat_of.pop(session, None)
        if number is not None:
            application = self.rows[session].application
            self.seats[application].pop(number, None)
            self.kept.setdefault(application, set()).add(number)

    async def revive(self, session: str, server: str, state: SessionState, *, now: datetime) -> bool:
        """Nobody is told to end what another broker may know."""
        return True

    async def tend(self, broker: str, *, now: datetime) -> list[str]:
        """Nothing is judged to be over without the database's clock."""
        return []


def _only_kept(known: PoolNow, kept: int) -> PoolNow:
    """So that as much is free as is kept, and a refusal says the truth."""
    ordinary = known.pool.seats - known.pool.reserve - kept
    return PoolNow(pool=replace(known.pool, grace=0), used=Usage(ordinary=ordinary, reserve=known.used.reserve))
