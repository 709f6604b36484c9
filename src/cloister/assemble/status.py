"""What `cloister up` shows: a live table on a terminal, plain lines elsewhere. Shows no secret after the first start."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloister.assemble.supervisor import Part, PartState
from cloister.base.settings import Settings

EVENTS_SHOWN: Final = 6
MISSING_SHOWN: Final = 8
COLOURS: Final = {
    PartState.WAITING: "dim",
    PartState.STARTING: "yellow",
    PartState.RUNNING: "green",
    PartState.RESTARTING: "red",
    PartState.STOPPED: "dim",
}


@dataclass(slots=True)
class Facts:
    """What the supervisor has learned about the running trust."""

    sessions: dict[str, int] = field(default_factory=dict)  # by state
    missing: tuple[str, ...] = ()  # protections that this machine or user does not allow
    task: str = ""  # what is under way, such as an import
    witnesses: str = ""  # what is wrong with the audit log or its witnesses; empty when all is well
    crossed: str = ""  # answers of the gateway that the canary found at the wrong person; empty when all is well
    ready: bool = False


class Board:
    """The screen of an `up`."""

    def __init__(self, settings: Settings, console: Console | None = None) -> None:
        self._settings = settings
        self._console = console or Console(highlight=False)
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._live: Live | None = None
        self.facts = Facts()

    def print(self, text: str) -> None:
        """As it is, never folded: what is printed here is copied by people."""
        self._console.print(text, markup=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """One event: remembered below the table, or a line of its own."""
        if self._live is not None:
            self._events.append(f"{datetime.now():%H:%M:%S}  {text}")
        else:
            self.print(f"{datetime.now():%H:%M:%S}  {text}")

    def open(self, parts: list[Part]) -> None:
        """From here on the table is alive, if this is a terminal."""
        if self._console.is_terminal:
            self._live = Live(self._picture(parts), console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def refresh(self, parts: list[Part]) -> None:
        if self._live is not None:
            self._live.update(self._picture(parts), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self, parts: list[Part]) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("part", "state", "process", "since", "restarts"):
            table.add_column(name)
        for part in parts:
            table.add_row(
                part.name,
                Text(str(part.state), style=COLOURS[part.state]),
                str(part.pid or "-"),
                lasting(time.monotonic() - part.since) if part.since else "-",
                f"{part.deaths} (last: {part.last_death})" if part.deaths else "",
            )
        lines: list[RenderableType] = [Text.assemble(("Cloister ", "bold"), (self._settings.base_url, "bold cyan")), table]
        lines.append(Text(sessions_line(self.facts.sessions)))
        if self.facts.task:
            lines.append(Text(self.facts.task, style="yellow"))
        if self.facts.witnesses:
            lines.append(Text(f"audit log: {self.facts.witnesses}", style="red"))
        if self.facts.crossed:
            lines.append(Text(f"gateway canary: {self.facts.crossed}", style="bold red"))
        if self.facts.missing:
            lines.append(Text(missing_line(self.facts.missing), style="dim"))
        lines += [Text(event, style="dim") for event in self._events]
        lines.append(Text("Ctrl-C stops everything. Sign-ins: cloister demo sign-ins", style="dim"))
        return Group(*lines)


def sessions_line(sessions: dict[str, int]) -> str:
    total = sum(sessions.values())
    parts = ", ".join(f"{count} {state}" for state, count in sorted(sessions.items()))
    return f"{total} session{'' if total == 1 else 's'}" + (f": {parts}" if parts else "")


def missing_line(missing: tuple[str, ...]) -> str:
    shown = ", ".join(missing[:MISSING_SHOWN]) + (f" and {len(missing) - MISSING_SHOWN} more" if len(missing) > MISSING_SHOWN else "")
    return f"Protections of sessions missing here: {shown}"


def lasting(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
