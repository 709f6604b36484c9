"""What a new session is told: whose it is, where it listens, when it locks and ends. Holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from cloister.base.errors import Invalid

UNLOCK_SECONDS: Final = 60  # a session that nobody unlocked in this time ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    session: str
    person: str
    role: str
    kind: str  # person or program
    label: str
    epoch: int
    slot: int
    uid: int
    gid: int
    edge_uid: int | None  # who alone may connect to the slot; None without root, where all have one account
    agent_uid: int
    gate: str  # socket paths
    agent: str
    idle_lock_seconds: int
    linger_seconds: int
    unlock_seconds: int = UNLOCK_SECONDS
    away_seconds: int = 0  # after its last page was closed its keys are wiped; 0: only by idleness
    absolute_seconds: int = 0  # from its start to its end, whatever is done in it; 0: no such limit
    shadow: str = "ask"  # whether others may be shown the screen: ask or never

    def as_wire(self) -> dict[str, Any]:
        return asdict(self)


def assignment_from_wire(body: Mapping[str, Any]) -> Assignment:
    names = {field.name for field in fields(Assignment)}
    if set(body) - names:
        raise Invalid("An assignment names something unknown.", reason="assignment")
    return Assignment(**body)
