"""What a session holds of screens that are shown: keys of its own showings and watchings, while it is unlocked and no longer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Denied
from cloister.base.wire import Caller
from cloister.offices import shadowing
from cloister.zones import Keyring


@dataclass(slots=True)
class Shadows:
    """`allowed`: whether this person's screen may be shown at all, by policy. `sign_in`: how others ask for this person."""

    keyring: Keyring
    gate: Caller
    session: str
    sign_in: str
    allowed: bool
    clock: Clock
    showing: dict[str, tuple[bytes, str]] = field(default_factory=dict, repr=False)  # key and the watcher's name, by showing
    watching: dict[str, shadowing.Watching] = field(default_factory=dict, repr=False)
    _words: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    async def ask(self, sign_in: str) -> shadowing.Watching:
        found = await shadowing.ask(self.keyring, self.gate, sign_in=sign_in, session=self.session, now=self.clock())
        self.watching[found.id] = found
        return found

    async def asked(self) -> list[shadowing.Asking]:
        """Open questions; and what is shown in another session of this person, or was before a lock, is ended here."""
        if not self.allowed:
            return []
        rows = await shadowing.asking(self.keyring, self.gate, sign_in=self.sign_in, now=self.clock())
        live = {row.id for row in rows if row.state == "shown"}
        for gone in [number for number in self.showing if number not in live]:
            del self.showing[gone]
        return [row for row in rows if row.state == "asked"]

    async def answer(self, number: str, yes: bool) -> None:
        if not self.allowed:
            raise Denied("Screens of your role are not shown.", hint="Your trust decides this.", reason="shadow-never")
        asked = next((row for row in await self.asked() if row.id == number), None)
        if asked is None:
            raise Denied("This question is not open any more.", reason="shadow-over")
        if not yes:
            await self.gate.call("shadow_answer", id=number)
            return
        self.showing[number] = (await shadowing.let_in(self.keyring, self.gate, asked, now=self.clock()), asked.name)

    async def show(self, picture: dict[str, Any]) -> list[str]:
        """Give the picture to everybody who was let in; the names of those who still watch."""
        for number, (key, _) in list(self.showing.items()):
            try:
                await self.gate.call("shadow_put", id=number, frame=shadowing.sealed_frame(key, number, picture))
            except Denied:
                self.showing.pop(number, None)
        return [name for _, name in self.showing.values()]

    async def look(self, number: str, after: int) -> dict[str, Any]:
        """{state, seq, name, picture}; the picture only when there is a newer one."""
        watching = self.watching.get(number)
        if watching is None:
            raise Denied("This screen is not shown to you.", hint="Ask again.", reason="shadow-over")
        state, _, answer, seq, frame = await self.gate.call("shadow_get", id=number, after=after)
        if state == "shown" and not watching.key:
            await shadowing.opened(self.keyring, self.gate, watching, bytes(answer), self.clock())
        if state in ("ended", "refused"):
            self.watching.pop(number, None)
        picture = shadowing.opened_frame(watching.key, number, bytes(frame)) if frame else None
        return {"state": state, "seq": seq, "name": watching.name, "picture": picture}

    async def end(self, number: str) -> None:
        self.showing.pop(number, None)
        self.watching.pop(number, None)
        await self.gate.call("shadow_end", id=number)

    def close(self) -> None:
        """The session was locked, went elsewhere or ends: nobody sees anything of it any more."""
        for number in (*self.showing, *self.watching):
            task = asyncio.get_running_loop().create_task(self._ended(number))
            self._words.add(task)
            task.add_done_callback(self._words.discard)
        self.showing.clear()
        self.watching.clear()

    async def _ended(self, number: str) -> None:
        with contextlib.suppress(CloisterError):  # without its key no further picture can be made either way
            await self.gate.call("shadow_end", id=number)
