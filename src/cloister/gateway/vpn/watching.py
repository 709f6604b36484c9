"""Who has a tunnel, and its end within a second of the person's last session. occtl(8).

Looked at three times a second while a tunnel stands. A tunnel belongs to a person, not to one of their sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import Unavailable
from cloister.base.telemetry import log

LOOK_SECONDS: Final = 0.3
CALL_SECONDS_MAX: Final = 5.0
NOBODY_YET: Final = "(none)"  # a connection that has not shown its certificate

People = Callable[[], Awaitable[frozenset[str] | None]]
Tell = Callable[["list[Tunnel]"], Awaitable[frozenset[int]]]


@dataclass(frozen=True, slots=True)
class Tunnel:
    id: int
    person: str
    group: str
    address: str  # inside
    origin: str  # outside
    since: str


class Watch:
    def __init__(self, control: Path, live: Path, people: People, tell: Tell | None = None) -> None:
        """`people`: who has a live session, or None while that is not known. `live`: the hook's folder, a file for each of them.
        `tell`: hears which tunnels stand, and says which of them somebody wants ended."""
        self._tell = tell
        self._control = control
        self._live = live
        self._people = people
        self.tunnels: list[Tunnel] = []

    async def look(self) -> None:
        """Once: tell the hook who is in, and end the tunnels of who is not.

        While that is not known nobody new comes in, and nobody is ended.
        """
        people = await self._people()
        self._tell_hook(people or frozenset())
        try:
            self.tunnels = await shown(self._control)
        except Unavailable:
            return
        if people is None:
            return
        asked = await self._tell(self.tunnels) if self._tell is not None else frozenset()
        for tunnel in self.tunnels:
            if tunnel.person not in people or tunnel.id in asked:
                await _occtl(self._control, "disconnect", "id", str(tunnel.id))
                log("vpn.ended", person=tunnel.person, why="asked" if tunnel.person in people else "no-session")

    async def keep(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def _tell_hook(self, people: frozenset[str]) -> None:
        told = {path.name for path in self._live.iterdir()}
        for person in people - told:
            (self._live / person).touch()
        for person in told - people:
            (self._live / person).unlink(missing_ok=True)


async def shown(control: Path) -> list[Tunnel]:
    """The tunnels that stand now; raises Unavailable when ocserv does not answer."""
    raw = await _occtl(control, "--json", "show", "users")
    try:
        return [_tunnel(one) for one in json.loads(raw) if one["Username"] != NOBODY_YET]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unavailable("The VPN does not answer.", hint="Is it running, and are you root? See docs/vpn.md.", reason="vpn") from None


async def _occtl(control: Path, *words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "occtl", "-s", str(control), *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), CALL_SECONDS_MAX)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return b""
    return out


def _tunnel(one: dict[str, Any]) -> Tunnel:
    """An address is there once the tunnel stands."""
    inside = str(one.get("IPv4", ""))
    return Tunnel(int(one["ID"]), str(one["Username"]), str(one["Groupname"]), inside, str(one["Remote IP"]), str(one["Connected at"]))
