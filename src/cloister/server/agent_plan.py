"""What an agent is told of its server when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloister.base.secret import Secret
from cloister.server.assignment import UNLOCK_SECONDS
from cloister.server.lines import Estate


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """One server's own facts; `zygote_command` gets the number of its control socket as last argument."""

    server: str
    runtime: Path
    slots: int
    edge_uid: int
    edge_gid: int
    controller_uid: int
    zygote_command: Sequence[str]
    agent_token: Secret
    idle_lock_seconds: int
    linger_seconds: int
    unlock_seconds: int = UNLOCK_SECONDS
    estate: Estate | None = None  # where there are several machines: controllers are reached by lines, not by a socket

    def socket(self, name: str) -> Path:
        return self.runtime / f"{name}.sock"
