"""Which process is which session. The agent says so when it forks one; the kernel says who calls (SO_PEERCRED)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Busy, Denied
from cloister.base.wire import Peer

SESSIONS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """One live session. `started` tells the process from a later one with the same number."""

    pid: int
    uid: int
    session: str
    person: str
    role: str
    ceiling: frozenset[str] | None  # zones the agent was told; None: all that are granted
    started: int


def start_time(pid: int) -> int:
    """Clock ticks since boot at which the process began (proc(5), stat field 22); 0 when it is gone or hidden."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


class Sessions:
    """The admitted sessions of this server, by process."""

    def __init__(self) -> None:
        self._by_pid: dict[int, Admitted] = {}

    def admit(self, pid: int, uid: int, *, session: str, person: str, role: str, zones: list[str] | None) -> None:
        if len(self._by_pid) >= SESSIONS_MAX:
            raise Busy("This server's store gate serves as many sessions as it can.")
        ceiling = None if zones is None else frozenset(zones)
        self._by_pid[pid] = Admitted(pid=pid, uid=uid, session=session, person=person, role=role, ceiling=ceiling, started=start_time(pid))

    def dismiss(self, session: str) -> None:
        for pid in [pid for pid, admitted in self._by_pid.items() if admitted.session == session]:
            del self._by_pid[pid]

    def all(self) -> list[Admitted]:
        return list(self._by_pid.values())

    def of(self, peer: Peer) -> Admitted:
        """The session that calls; Denied for a process that nobody admitted, or whose number was given to another."""
        admitted = self._by_pid.get(peer.pid)
        if admitted is None or admitted.uid != peer.uid:
            raise Denied("This process is no session of this server.", reason="unknown-process")
        return admitted

    def check_alive(self, admitted: Admitted) -> None:
        """Once a connection: a recycled process number is not the session it was."""
        if admitted.started and start_time(admitted.pid) != admitted.started:
            self.dismiss(admitted.session)
            raise Denied("This process is no session of this server.", reason="unknown-process")
