"""The machine's administrator: the command line as typed, and the database as its owner."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from running_trust import RunningTrust

from cloister.assemble import owner_connection
from cloister.base.settings import read_settings

COMMAND_SECONDS_MAX = 100


@dataclass(frozen=True)
class Machine:
    """The machine's administrator: the command line, and the database as its owner."""

    trust: RunningTrust

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`cloister ...` as typed."""
        command = [sys.executable, "-m", "cloister.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, env=self.trust.environment, timeout=COMMAND_SECONDS_MAX, check=False)

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        async def ask() -> list[dict[str, Any]]:
            connection = await owner_connection(read_settings(self.trust.environment))
            try:
                return [dict(row) for row in await connection.fetch(statement, *values)]
            finally:
                await connection.close()

        return asyncio.run(ask())
