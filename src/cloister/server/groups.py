"""Limits' groups on this server: their names, a session's way in, and their removal when their processes are gone. See cgroups.py."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cloister.base.telemetry import log
from cloister.server import cgroups


class Groups:
    """`runtime` tells this server's groups from those of another trust on the same machine."""

    def __init__(self, runtime: Path) -> None:
        self._mark = hashlib.sha256(str(runtime).encode()).hexdigest()[:8]
        self._tree = cgroups.find()

    def name(self, session: str, run: str = "") -> str:
        """Never used again: what is removed late is nobody else's. Empty without root, when there are none."""
        if os.geteuid() != 0:
            return ""
        return f"{self._mark}-{session}-{run}" if run else f"{self._mark}-{session}"

    async def enter(self, session: str, pid: int) -> None:
        """A session's process goes into its group while it still puts up its walls; what cannot be limited is logged."""
        if os.geteuid() == 0:
            missing = await asyncio.to_thread(cgroups.enter, self._tree, self.name(session), cgroups.Limits(), pid)
            if missing:
                log("session.unlimited", level="warning", session=session, missing="; ".join(missing))

    async def remove(self, session: str) -> None:
        """A session's group, with whatever is left in it. Those of programs beside it go when their keepers have saved and gone."""
        if os.geteuid() == 0:
            await asyncio.to_thread(cgroups.remove, self._tree, [self.name(session)])

    async def remove_run(self, session: str, run: str) -> None:
        if os.geteuid() == 0:
            await asyncio.to_thread(cgroups.remove, self._tree.programs, [self.name(session, run)])

    async def remove_others(self, sessions: Iterable[str]) -> None:
        """What an agent before left behind: everything of this server but the groups of these sessions."""
        kept = tuple(self.name(session) for session in sessions)

        def clear() -> None:
            for tree in (self._tree, self._tree.programs):
                there = cgroups.left(tree, self._mark)
                cgroups.remove(tree, [name for name in there if not name.startswith(kept)])

        if os.geteuid() == 0:
            await asyncio.to_thread(clear)
