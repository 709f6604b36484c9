"""Upkeep of the farm in one controller: servers' health, maintenance and power, joined to the life of sessions. docs/power.md.

A door of its own within the farm: what switches machines is loaded by the controller alone, not by every session's zygote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from cloister.base.ids import new_id
from cloister.farm.keeping import POWER_SECONDS, Keeping
from cloister.farm.lease import Lease
from cloister.farm.maintenance.keeper import Upkeep
from cloister.farm.maintenance.store import UpkeepStore
from cloister.farm.operations import Operations
from cloister.farm.power.keeper import PowerKeeper
from cloister.farm.power.machines_file import Switched, read_machines
from cloister.farm.power.store import PowerStore
from cloister.farm.upkeep_acts import UpkeepActs

__all__ = ["FarmUpkeep", "Switched", "read_machines"]


class SessionsOf:
    """What upkeep asks of the life of sessions, through the operators' door: so it is audited, and people are told as by an operator."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def tell(self, server: str, sessions: Sequence[str], text: Mapping[str, str]) -> None:
        await self._operations.message({"sessions": list(sessions)}, text, urgent=True)

    async def end(self, server: str, sessions: Sequence[str], why: str) -> None:
        await self._operations.end({"sessions": list(sessions)}, why)


class FarmUpkeep:
    """`machines`: what this controller can switch (machines_file.py); with none of them, servers are kept and none is switched."""

    def __init__(
        self, pool: Any, *, operations: Operations, machines: Mapping[str, Switched], power_seconds: float = POWER_SECONDS
    ) -> None:
        self._servers, power = UpkeepStore(pool), PowerStore(pool)
        upkeep = Upkeep(store=self._servers, people=SessionsOf(operations), restarts=_Restarts(power, machines))
        self._power = PowerKeeper(store=power, upkeep=upkeep, servers=self._servers, machines=machines)
        self._keeping = Keeping(Lease(pool, "upkeep", new_id()), upkeep=upkeep, power=self._power, power_seconds=power_seconds)
        UpkeepActs(operations=operations, upkeep=upkeep, servers=self._servers, power=power)

    async def heard(self, server: str, health: dict[str, Any], instance: str) -> None:
        """For the broker: what an agent says of its health."""
        await self._servers.heard(server, health, instance)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._keeping.run(stop)
        finally:
            await self._power.stop()


class _Restarts:
    def __init__(self, store: PowerStore, machines: Mapping[str, Switched]) -> None:
        self._store, self._machines = store, machines

    async def restart(self, server: str) -> bool:
        return server in self._machines and await self._store.want_restart(server, True)
