"""Licences: how many sessions of an application may be at once, told by numbered seats. Pure; the SQL of the same is in migrations.

A pool has `seats`; the last `reserve` of them are for emergencies only. `grace` further seats may be used for `grace_days` after
the first of them was taken; then the stop is hard. An application without a pool needs no licence. A seat has one holder, so
that nothing is handed out twice; a lease is over when the database's clock says so, and is renewed by what servers report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Final

from cloister.base.errors import Busy, Invalid

LEASE: Final = timedelta(minutes=15)
SEATS_MAX: Final = 1_000_000
BROKER: Final = "broker:"  # a holder that is no session: seats that a broker keeps for when the database is away


class SeatKind(StrEnum):
    ORDINARY = "ordinary"
    RESERVE = "reserve"
    GRACE = "grace"
    RETIRED = "retired"  # held still, but above what the pool has now


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """`reserved_for`: who may use the reserve: roles, and networks of terminals (CIDR), such as those of an emergency ward."""

    application: str
    seats: int
    reserve: int = 0
    grace: int = 0
    grace_days: int = 0
    grace_since: datetime | None = None
    reserved_for: tuple[str, ...] = ()
    outage: int = 0  # seats that each broker keeps for when the database is away

    def kind(self, number: int) -> SeatKind:
        """Seats are numbered from 1."""
        if number <= self.seats - self.reserve:
            return SeatKind.ORDINARY
        if number <= self.seats:
            return SeatKind.RESERVE
        return SeatKind.GRACE if number <= self.seats + self.grace else SeatKind.RETIRED

    def grace_open(self, now: datetime) -> bool:
        return self.grace > 0 and (self.grace_since is None or now < self.grace_since + timedelta(days=self.grace_days))

    def ranges(self, *, emergency: bool, now: datetime) -> list[range]:
        """Which numbers may be taken, the first range first."""
        found = [range(1, self.seats - self.reserve + 1)]
        if emergency:
            found.append(range(self.seats - self.reserve + 1, self.seats + 1))
        if self.grace_open(now):
            found.append(range(self.seats + 1, self.seats + self.grace + 1))
        return [numbers for numbers in found if numbers]


def checked(pool: Pool) -> Pool:
    if not 0 <= pool.seats <= SEATS_MAX or not 0 <= pool.reserve <= pool.seats or not 0 <= pool.grace <= SEATS_MAX:
        raise Invalid("These are no counts of licences.", hint=f"seats up to {SEATS_MAX:,}, of which some in reserve; grace beyond them.")
    if (pool.grace > 0) != (pool.grace_days > 0) or pool.grace_days > 366:
        raise Invalid("Grace needs seats and days.", hint="For instance --grace 500 --grace-days 15.")
    if pool.outage < 0 or pool.outage > pool.seats:
        raise Invalid("A broker cannot keep more seats than there are.", hint="--outage 20")
    return pool


@dataclass(frozen=True, slots=True)
class Seat:
    number: int
    holder: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many seats are held, by kind; `kept` by brokers for an outage."""

    ordinary: int = 0
    reserve: int = 0
    grace: int = 0
    retired: int = 0
    kept: int = 0

    @property
    def used(self) -> int:
        return self.ordinary + self.reserve + self.grace + self.retired


def usage(pool: Pool, held: Iterable[Seat]) -> Usage:
    counts = {str(kind): 0 for kind in SeatKind} | {"kept": 0}
    for seat in held:
        counts["kept" if seat.holder.startswith(BROKER) else str(pool.kind(seat.number))] += 1
    return Usage(**counts)


def take(pool: Pool, held: Mapping[int, Seat], *, emergency: bool, now: datetime, after: int = 0) -> int:
    """The number of a free seat, looked for behind `after` first. Raises Busy with counts when there is none."""
    for numbers in pool.ranges(emergency=emergency, now=now):
        start = min(max(after - numbers.start + 1, 0), len(numbers))
        free = next((number for number in chain(numbers[start:], numbers[:start]) if number not in held), None)
        if free is not None:
            return free
    raise refusal(pool, usage(pool, held.values()), emergency=emergency, now=now)


def refusal(pool: Pool, used: Usage, *, emergency: bool, now: datetime) -> Busy:
    parts = [f"{used.ordinary:,} of {pool.seats - pool.reserve:,} are in use"]
    if used.kept:
        parts.append(f"{used.kept:,} kept for when the database is away")
    if pool.reserve:
        parts.append(f"{used.reserve:,} of {pool.reserve:,} of the emergency reserve{'' if emergency else ', which is not for you'}")
    if pool.grace:
        over = "" if pool.grace_open(now) else f", whose {pool.grace_days} days are over"
        parts.append(f"{used.grace:,} of {pool.grace:,} beyond the licence{over}")
    hint = "Your place in the queue is kept. More licences: cloister licence set."
    return Busy(f"No licence of '{pool.application}' is free: {'; '.join(parts)}.", hint=hint, reason="licences")
