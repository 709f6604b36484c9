"""The clairvoyant optimum: the least server-hours with which the sessions of a run could have been held. Pure, exact.

Defined in docs/power.md: at every sample, servers on >= sessions / capacity, rounded up; a start takes `boot` seconds
in which the server is on and holds nobody; a stop takes `stop`. No buffer, no spare, no failure, no minimum; the
first sample's servers are on already; and sessions may move freely from server to server, which no farm can do. So no
planner, however much it knows, needs fewer hours: the true optimum of a farm lies above this one.

With free moves the servers are levels: the k-th is wanted whenever more than k - 1 are. Between two times at which a level
is wanted it is cheaper to stay on exactly when the time between is shorter than a stop and a start together.
"""

from __future__ import annotations

from collections.abc import Sequence


def least_seconds(held: Sequence[int], *, capacity: int, step: float, boot: float, stop: float) -> float:
    """Server-seconds on; `held` are the sessions of one group at samples `step` seconds apart."""
    wanted = [-(-sessions // capacity) for sessions in held]
    return sum(_level([servers >= level for servers in wanted], step, boot, stop) for level in range(1, max(wanted, default=0) + 1))


def _level(wanted: Sequence[bool], step: float, boot: float, stop: float) -> float:
    total, idle, ever = 0.0, 0.0, False
    for number, is_wanted in enumerate(wanted):
        if not is_wanted:
            idle += step
            continue
        if ever:
            total += min(idle, boot + stop)
        elif number:
            total += min(idle, boot)
        total += step
        idle, ever = 0.0, True
    return total + (min(idle, stop) if ever else 0.0)
