"""The agent's part in programs: asks the controller whether, has the zygote fork the keeper, and clears up when a run has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import CloisterError, Unavailable
from cloister.base.process import is_root
from cloister.base.telemetry import log
from cloister.server.groups import Groups
from cloister.server.programs.display import lacking
from cloister.server.programs.plan import ProgramKind, ProgramPlan, read_settings
from cloister.server.register import SessionRecord
from cloister.server.zygote_link import ZygoteLink

FIRST_PROGRAM_UID: Final = 310_000
FIRST_DISPLAY_UID: Final = 410_000
PROCESSES_NAMED: Final = "program"  # keeper.py, first.py
SAVED_SECONDS_MAX: Final = 30.0  # what a keeper gets to save documents that were open, once its session is gone
Ask = Callable[[str, str, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """A run's keeper as the agent holds it."""

    session: str
    application: str
    run: str
    pidfd: int
    socket: Path


class Beside:
    def __init__(self, runtime: Path, zygote: ZygoteLink, ask: Ask, groups: Groups) -> None:
        self._folder = runtime / "programs"
        self._zygote = zygote
        self._ask = ask
        self._groups = groups
        self._kept: dict[int, Kept] = {}  # by pidfd
        self._tasks: set[asyncio.Task[None]] = set()

    def clear(self) -> None:
        """Sockets that an agent before left: whoever was to connect has done so."""
        for path in self._folder.glob("*.sock"):
            path.unlink(missing_ok=True)

    async def start(self, record: SessionRecord, application: str) -> dict[str, Any]:
        """For the session that asked; what is run, and whether, is the controller's word and never the session's."""
        told = await self._ask("program_asked", record.session, {"application": application})
        try:
            return await self._start(record, application, told)
        except CloisterError:
            await self._tell(record.session, application, str(told["run"]))
            raise

    async def _start(self, record: SessionRecord, application: str, told: dict[str, Any]) -> dict[str, Any]:
        kind = ProgramKind(told["kind"])
        self._assert_able(kind)
        run, settings = str(told["run"]), read_settings(kind, told["settings"])
        slot = record.slot
        plan = ProgramPlan(
            run=run, session=record.session, session_pid=record.pid, session_uid=record.uid, application=application,
            title=str(told["name"]), kind=kind, program_uid=FIRST_PROGRAM_UID + slot, display_uid=FIRST_DISPLAY_UID + slot,
            group=self._groups.name(record.session, run),
            command=settings.command, remote=settings.remote, rules=settings.rules, folders=settings.folders,
            reaches=_reaches(settings.reaches, settings.remote), memory_bytes=settings.memory_bytes, processes=settings.processes,
        )  # fmt: skip
        path = self._folder / f"{slot}-{run}.sock"
        listener = _listener(path, record.uid)
        try:
            forked = await self._zygote.fork_program(plan.as_wire(), listener)
        except CloisterError:
            path.unlink(missing_ok=True)
            raise
        finally:
            listener.close()
        self._kept[forked.pidfd] = Kept(record.session, application, run, forked.pidfd, path)
        asyncio.get_running_loop().add_reader(forked.pidfd, self._gone, forked.pidfd)
        log("program.started", session=record.session, application=application, run=run)
        told = {"run": run, "socket": str(path), "title": plan.title, "kind": str(kind), "rules": asdict(plan.rules)}
        return told | {"linger_seconds": settings.linger_seconds}

    def _assert_able(self, kind: ProgramKind) -> None:
        if not is_root():
            text = "This server cannot publish programs: it does not run as root."
            raise Unavailable(text, hint="Tell your IT: start `cloister up` as root.", reason="program-root")
        package = lacking(kind)
        if package:
            text = f"This server cannot show programs: the package {package} is missing."
            raise Unavailable(text, hint=f"Tell your IT: apt-get install {package}", reason="program-package")

    def end_run(self, run: str) -> bool:
        """An operator's word: the keeper tells its session why, and saves what is open. False where no such run is."""
        for kept in self._kept.values():
            if kept.run == run:
                with contextlib.suppress(ProcessLookupError, OSError):
                    signal.pidfd_send_signal(kept.pidfd, signal.SIGTERM)
                self._later(self._insist(kept.pidfd))
                return True
        return False

    def end(self, session: str) -> None:
        """Its session is dead, so its keeper has lost its socket and ends by itself; one that does not is ended."""
        for kept in [one for one in self._kept.values() if one.session == session]:
            self._later(self._insist(kept.pidfd))

    async def _insist(self, pidfd: int) -> None:
        await asyncio.sleep(SAVED_SECONDS_MAX)
        if pidfd in self._kept:
            with contextlib.suppress(ProcessLookupError, OSError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _gone(self, pidfd: int) -> None:
        kept = self._kept.pop(pidfd)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        kept.socket.unlink(missing_ok=True)
        log("program.ended", session=kept.session, application=kept.application, run=kept.run)
        self._later(self._cleared(kept))
        self._later(self._tell(kept.session, kept.application, kept.run))

    async def _cleared(self, kept: Kept) -> None:
        await self._groups.remove_run(kept.session, kept.run)
        self.reap()

    def reap(self) -> None:
        """What a run's processes left that died after their parent: this agent adopted it, and nobody else waits for it."""
        with contextlib.suppress(ChildProcessError, OSError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if not Path(f"/proc/{found.si_pid}/comm").read_text().startswith(PROCESSES_NAMED):
                    return  # a session or the zygote: whoever watches it reaps it, and the next sweep comes here again
                os.waitpid(found.si_pid, os.WNOHANG)

    async def _tell(self, session: str, application: str, run: str) -> None:
        with contextlib.suppress(CloisterError):  # a controller that is away counts again from what agents report
            await self._ask("program_ended", session, {"application": application, "run": run})

    def _later(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _reaches(reaches: tuple[str, ...], remote: Any) -> tuple[str, ...]:
    """A Windows program's server is what it may reach, and nothing else unless it is named."""
    if not remote:
        return reaches
    host = f"[{remote['host']}]" if ":" in remote["host"] else remote["host"]
    return (*reaches, f"{host}:{remote.get('port', '3389')}")


def _listener(path: Path, uid: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    os.chown(path, uid, uid)
    listener.listen(4)
    return listener
