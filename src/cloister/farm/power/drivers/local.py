"""`local`: a server that is processes on this machine: an agent, which starts its zygote and its sessions.

For trials, and for a machine that is always on while its servers are not. They run under the controller's account; protections that
need root are then missing, and the agent says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cloister.farm.power.drivers.driver import OFF_SECONDS, Seen
from cloister.farm.power.drivers.processes import Kept


class LocalDriver:
    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str], *, off_seconds: float = OFF_SECONDS) -> None:
        self._program = Kept(folder, command, environment)
        self._off_seconds = off_seconds

    async def on(self) -> None:
        self._program.start()

    async def off(self) -> None:
        """SIGTERM: the agent ends its sessions and its zygote before it goes."""
        await self._program.stop(self._off_seconds)

    async def seen(self) -> Seen:
        return Seen.OFF if self._program.pid() is None else Seen.ON
