"""What is simulated, and what is counted while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cloister.farm.maintenance.windows import Window
from cloister.farm.power.policy import PowerPolicy
from cloister.farm.simulate.people import TRUST, Hospital

# A hospital that keeps its machines busy: little room beyond the forecast, and a server is emptied within three quarters of an hour.
POLICY: Final = PowerPolicy(ready=2, buffer=0.015, spare=1, boot=240, on_min=900, cool_down=180, hold=1800, leave=60, deadline=2700)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A day. Pairs are the least and the most of something by chance, in seconds."""

    day: datetime
    seed: int = 1
    hospitals: tuple[Hospital, ...] = TRUST
    policy: PowerPolicy = POLICY
    slots: int = 16  # sessions on a server
    licences: int = 24_000
    reserve: int = 500  # of them, for emergencies
    emergencies: float = 0.05  # of people
    tolerance: int = 4  # sign-ins at once on a server
    sign_in: tuple[float, float] = (2.0, 4.0)  # of processor-heavy work
    boot: tuple[float, float] = (150.0, 270.0)
    stop: tuple[float, float] = (30.0, 60.0)
    linger: float = 3600.0
    deaths: int = 14  # servers that die, at any hour of the day
    starts_that_fail: float = 0.01
    history_days: int = 21
    window: Window | None = None  # a maintenance of one hospital's servers

    @property
    def boot_mean(self) -> float:
        return sum(self.boot) / 2

    @property
    def stop_mean(self) -> float:
        return sum(self.stop) / 2


@dataclass(slots=True)
class Counts:
    placed: int = 0
    rejoined: int = 0
    moved: int = 0  # sessions that ended on a server that was being emptied
    asked_to_move: int = 0  # of those, with a person before it: the deadline had come
    interrupted: int = 0  # sessions lost with a server
    waited: int = 0  # people who were not placed at once
    longest_wait: float = 0.0
    longest_queue: int = 0
    deaths: int = 0
    starts: int = 0
    stops: int = 0
    taken_back: int = 0
    renewed: int = 0  # servers started anew by the maintenance
    out_at_once: int = 0
    most_at_once: int = 0
    licences_most: int = 0
    checks: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
