"""Programs that outlive the controller that started them: found again by process id and start time, in a file beside their log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloister.base.errors import Unavailable
from cloister.base.process import start_time


class Kept:
    """One program in its folder: `pid` (process id and start time), `log`. A group of its own, so that a Ctrl-C passes it by."""

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder, self._command, self._environment = folder, list(command), dict(environment)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self._folder

    def pid(self) -> int | None:
        """Of the program, if it runs; a number that another process has got meanwhile is not taken for it."""
        if self._child is not None:
            self._child.poll()  # collect it, if it has ended
        try:
            number, began = (self._folder / "pid").read_text().split()
            if start_time(int(number)) == int(began) and not _zombie(int(number)):
                return int(number)
        except (OSError, ValueError):
            return None
        return None

    def start(self) -> None:
        if self.pid() is not None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            log = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    env={"PATH": os.environ.get("PATH", ""), **self._environment}, cwd=self._folder,
                )  # fmt: skip
            finally:
                os.close(log)
            began = start_time(self._child.pid)
            (self._folder / "pid").write_text(f"{self._child.pid} {began}\n")
        except OSError as wrong:
            raise Unavailable(f"'{self._command[0]}' could not be started: {wrong.strerror}.", hint=f"See {self._folder}.") from wrong

    async def stop(self, seconds: float) -> None:
        """SIGTERM, then SIGKILL to all of its group."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not await self.gone(seconds):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            await self.gone(5.0)

    async def gone(self, seconds: float) -> bool:
        end = asyncio.get_running_loop().time() + seconds
        while self.pid() is not None:
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(0.05)
        return True


def _zombie(pid: int) -> bool:
    line = Path(f"/proc/{pid}/stat").read_bytes()
    return line[line.rindex(b")") + 2 :][:1] == b"Z"
