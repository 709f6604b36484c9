"""Whether a server is well, from facts that its agent reports: pure. What is wrong says itself, and whether it mends itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from cloister.farm.placement import SERVER_SILENT, ServerState

SPAWNS_FAILED_MAX: Final = 3  # in a row
DISK_FREE_MIN: Final = 0.05  # of the file system that holds sockets, logs and drafts
GATE_AWAY_SECONDS: Final = 15.0
ZYGOTE_AWAY_SECONDS: Final = 15.0


class Ailment(StrEnum):
    SILENT = "silent"
    NO_ZYGOTE = "no-zygote"
    SPAWNS_FAIL = "spawns-fail"
    DISK_FULL = "disk-full"
    GATE_AWAY = "gate-away"


@dataclass(frozen=True, slots=True)
class Rule:
    """`well`: for how long it must be well before sessions are placed on it again; None: a person must say so (undrain)."""

    text: str
    well: timedelta | None


# A cause that ends from outside (a cable, a database) ends by itself; one that may come back with the next session does not.
RULES: Final[dict[Ailment, Rule]] = {
    Ailment.SILENT: Rule("its agent has not been heard of", timedelta(seconds=30)),
    Ailment.GATE_AWAY: Rule("its store gate cannot be reached", timedelta(seconds=15)),
    Ailment.NO_ZYGOTE: Rule("its zygote does not run", timedelta(seconds=30)),
    Ailment.DISK_FULL: Rule("its disk is full", timedelta(minutes=5)),
    Ailment.SPAWNS_FAIL: Rule("sessions fail to start on it", None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an agent says of itself. Shares are of 1; `away`: seconds since something was last reached, 0 when it is there."""

    spawns_failed: int = 0
    disk_free: float = 1.0
    gate_away: float = 0.0
    zygote_away: float = 0.0


def facts_from(raw: Mapping[str, Any]) -> Facts:
    """As reported; a member that is missing or no number says nothing."""
    return Facts(
        spawns_failed=int(_number(raw, "spawns_failed", 0)), disk_free=_number(raw, "disk_free", 1.0),
        gate_away=_number(raw, "gate_away", 0.0), zygote_away=_number(raw, "zygote_away", 0.0),
    )  # fmt: skip


def _number(raw: Mapping[str, Any], name: str, usual: float) -> float:
    value = raw.get(name, usual)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else usual


def ailment(facts: Facts, seen: datetime, *, now: datetime) -> Ailment | None:
    """What is wrong with a server that should be well; the first that holds."""
    if now - seen >= SERVER_SILENT:
        return Ailment.SILENT
    if facts.zygote_away >= ZYGOTE_AWAY_SECONDS:
        return Ailment.NO_ZYGOTE
    if facts.gate_away >= GATE_AWAY_SECONDS:
        return Ailment.GATE_AWAY
    if facts.disk_free < DISK_FREE_MIN:
        return Ailment.DISK_FULL
    return Ailment.SPAWNS_FAIL if facts.spawns_failed >= SPAWNS_FAILED_MAX else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Illness:
    """A server's, while it lasts; `well_since` is when the cause was last seen to be gone."""

    ailment: Ailment
    since: datetime
    well_since: datetime | None = None

    @property
    def why(self) -> str:
        """As operators read it, with what brings it back."""
        rule = RULES[self.ailment]
        back = "it comes back by itself" if rule.well is not None else "undrain it when that is mended"
        return f"{rule.text}; {back}"


WATCHED: Final = frozenset({ServerState.READY, ServerState.DRAINING, ServerState.UNHEALTHY})


def judge(illness: Illness | None, found: Ailment | None, *, now: datetime) -> Illness | None:
    """The illness that the server has now: a new one, the old one, or none once it was well for long enough."""
    if illness is None:
        return None if found is None else Illness(ailment=found, since=now)
    rule = RULES[illness.ailment]
    if found is not None:
        # What needs a person is not forgotten because something lighter came on top.
        kept = illness.ailment if rule.well is None else found
        return Illness(ailment=kept, since=illness.since if kept is illness.ailment else now)
    well_since = illness.well_since or now
    if rule.well is not None and now - well_since >= rule.well:
        return None
    return Illness(ailment=illness.ailment, since=illness.since, well_since=well_since)
