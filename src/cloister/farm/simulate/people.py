"""Made-up people of a trust: when each comes, goes, and how often one walks from terminal to terminal. By seed alone, no real person."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloister.farm.power.forecast import Sample

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
SLOT: Final = 300.0


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital of the trust with servers of its own (a delivery group)."""

    name: str
    servers: int
    people: int  # at once, on its highest day of the plan


TRUST: Final = (
    Hospital("north", 310, 4130), Hospital("river", 260, 3460), Hospital("south", 220, 2925), Hospital("hill", 180, 2385),
    Hospital("old-town", 150, 1995), Hospital("lake", 120, 1590), Hospital("harbour", 100, 1330), Hospital("forest", 60, 805),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cohort:
    """People who come and go about the same time; hours, then minutes of spread; share of the people at once."""

    share: float
    comes: float
    comes_spread: float
    goes: float
    goes_spread: float


# A working day: the bell of the morning takes about ninety minutes.
COHORTS: Final = (
    Cohort(0.145, 6.75, 12, 14.25, 20),  # early shift
    Cohort(0.460, 8.00, 28, 17.25, 45),  # consultations, offices, theatres
    Cohort(0.225, 8.30, 30, 12.75, 40),  # half-days
    Cohort(0.080, 9.50, 40, 18.50, 50),  # late starters
    Cohort(0.155, 13.75, 15, 21.25, 20),  # evening shift
    Cohort(0.115, 20.75, 12, 31.10, 15),  # night shift, until the next morning
)
CALLS_SHARE: Final = 0.22  # short visits, over the day
WARD_SHARE: Final = 0.65  # of people, walk from terminal to terminal
SIGN_OUT_SHARE: Final = 0.75  # sign out; the others only walk away
WARD: Final = (720.0, 480.0)  # mean seconds at a terminal, and between two
DESK: Final = (2100.0, 900.0)  # until the session locks: a telephone, a patient, a meeting
WEEK_END: Final = 0.45
DAY_SPREAD: Final = 0.03  # how much one day's height differs from another's


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's working time, in seconds since midnight. `here` and `away`: mean seconds at a terminal, between two."""

    comes: float
    goes: float
    signs_out: bool
    here: float
    away: float


def visits(hospital: Hospital, day: datetime, rng: random.Random) -> list[Visit]:
    """Who works on this day in this hospital, the former night shift too."""
    people = hospital.people * rng.gauss(1.0, DAY_SPREAD) * (WEEK_END if day.weekday() >= 5 else 1.0)
    found: list[Visit] = []
    for cohort in COHORTS:
        for _ in range(_about(people * cohort.share, rng)):
            comes = rng.gauss(cohort.comes * HOUR, cohort.comes_spread * 60)
            goes = max(comes + 600, rng.gauss(cohort.goes * HOUR, cohort.goes_spread * 60))
            found += _of_day(comes, goes, rng)
    for _ in range(_about(people * CALLS_SHARE, rng)):
        comes = rng.triangular(0, DAY, 12 * HOUR)
        found += _of_day(comes, comes + rng.uniform(600, 5400), rng)
    return sorted(found, key=lambda visit: visit.comes)


def _of_day(comes: float, goes: float, rng: random.Random) -> Iterator[Visit]:
    """Who stays past midnight is also there in the morning: a person like this one came the day before."""
    signs_out = rng.random() < SIGN_OUT_SHARE
    here, away = WARD if rng.random() < WARD_SHARE else DESK
    if comes >= 0:
        yield Visit(comes, goes, signs_out, here, away)
    if goes > DAY:
        yield Visit(comes - DAY, goes - DAY, signs_out, here, away)


def _about(mean: float, rng: random.Random) -> int:
    """A whole number with this mean and the spread of independent people."""
    return max(0, round(rng.gauss(mean, mean**0.5)))


def history(hospital: Hospital, until: datetime, rng: random.Random, *, days: int, linger: float) -> list[Sample]:
    """What the samples of former days would say of this hospital."""
    samples: list[Sample] = []
    for back in range(days, 0, -1):
        day = until - timedelta(days=back)
        samples += _samples(visits(hospital, day, rng), day, linger)
    return samples


def _samples(of_day: Sequence[Visit], day: datetime, linger: float) -> list[Sample]:
    slots = int(DAY // SLOT)
    change, begun, held = [0] * (slots + 1), [0] * slots, 0
    for visit in of_day:
        if visit.comes < 0:
            held += 1
        else:
            first = min(slots - 1, int(visit.comes // SLOT))
            begun[first] += 1
            change[first] += 1
        end = visit.goes + (0 if visit.signs_out else linger)
        if end < DAY:
            change[max(0, int(end // SLOT))] -= 1
    samples = []
    for slot in range(slots):
        held += change[slot]
        samples.append(Sample(at=day + timedelta(seconds=SLOT * (slot + 1)), held=held, begun=begun[slot]))
    return samples
