"""`qemu`: a virtual machine, switched through QMP (qemu's machine protocol, JSON lines on a UNIX socket).

`system_powerdown` presses its power button (ACPI); a machine that does not heed it in time is ended with `quit`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import Unavailable
from cloister.farm.power.drivers.driver import OFF_SECONDS, Seen
from cloister.farm.power.drivers.processes import Kept

QMP_SECONDS: Final = 5.0
LINE_BYTES_MAX: Final = 1 << 20


class QemuDriver:
    """`arguments`: of qemu, such as memory, disks and network; what is needed to switch the machine is added here."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        program: str = "qemu-system-x86_64",
        accel: str = "tcg",
        off_seconds: float = OFF_SECONDS,
    ) -> None:
        self._socket = folder / "qmp.sock"
        switch = ["-accel", accel, "-display", "none", "-qmp", f"unix:{self._socket},server=on,wait=off", "-no-reboot"]
        self._program = Kept(folder, [program, *switch, *arguments], {})
        self._off_seconds = off_seconds

    async def on(self) -> None:
        self._program.start()

    async def off(self) -> None:
        if self._program.pid() is None:
            return
        with contextlib.suppress(Unavailable):
            await self._say("system_powerdown")
            if await self._program.gone(self._off_seconds):
                return
            await self._say("quit")
            if await self._program.gone(QMP_SECONDS):
                return
        await self._program.stop(QMP_SECONDS)

    async def seen(self) -> Seen:
        """On while its processors run; a guest that has shut down, or a qemu that has gone, is off."""
        if self._program.pid() is None:
            return Seen.OFF
        try:
            status = await self._say("query-status")
        except Unavailable:
            return Seen.ON if self._program.pid() is not None else Seen.OFF
        return Seen.OFF if status.get("status") in ("shutdown", "guest-panicked") else Seen.ON

    async def _say(self, command: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(QMP_SECONDS), self._spoken() as (reader, writer):
                await _ask(reader, writer, "qmp_capabilities")
                return await _ask(reader, writer, command)
        except (OSError, ValueError, TimeoutError, EOFError) as lost:
            raise Unavailable("qemu does not answer.", hint=f"See {self._program.folder}/log.", reason="qmp") from lost

    @asynccontextmanager
    async def _spoken(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=LINE_BYTES_MAX)
        try:
            await reader.readline()  # its greeting
            yield reader, writer
        finally:
            writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str) -> dict[str, Any]:
    """The command's return; events that come between are passed over."""
    writer.write(json.dumps({"execute": command}).encode() + b"\n")
    while line := await reader.readline():
        word = json.loads(line)
        if "return" in word:
            found: dict[str, Any] = word["return"]
            return found
        if "error" in word:
            raise Unavailable(f"qemu refused '{command}'.", reason="qmp")
    raise EOFError
