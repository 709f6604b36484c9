"""Which sessions of a server that is being emptied end now, and whom to tell before. Pure; the same for a night and a maintenance.

A session that nobody looks at (disconnected or locked: it holds no keys) ends quietly: what was typed is saved, and its person
gets a new one elsewhere with the same gesture that would have brought the old one back. People who work are left in peace
until the deadline, if there is one, and are told before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

WARNED_SECONDS: Final = 600  # before the deadline, or half the time to it where that is less


@dataclass(frozen=True, slots=True)
class Held:
    """A session on a server that is being emptied. `seconds`: for how long it has been attended, or left."""

    session: str
    attended: bool
    seconds: float
    told: bool = False


@dataclass(frozen=True, slots=True)
class Emptying:
    tell: tuple[str, ...]
    end: tuple[str, ...]


def emptying(held: Iterable[Held], *, leave: float, left: float | None, notice: float = WARNED_SECONDS) -> Emptying:
    """`leave`: seconds after which an unattended session ends; `left`: seconds to the deadline, None without one."""
    tell, end = [], []
    for one in held:
        if (left is not None and left <= 0) or (not one.attended and one.seconds >= leave):
            end.append(one.session)
        elif left is not None and left <= notice and not one.told:
            tell.append(one.session)
    return Emptying(tuple(tell), tuple(end))
