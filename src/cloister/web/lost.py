"""What one session knows of the one before it, if that died: to be said to its person until they have read it (came_back.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cloister.base.errors import CloisterError
from cloister.web.allowed import Ask
from cloister.web.drafts import Draft

WHYS: Final = frozenset({"died", "server-lost", "lost", "silent"})


@dataclass(slots=True)
class CameBack:
    """One session's knowledge of the one before it. `lost`: {server, why, began, missed}, or nothing."""

    ask: Ask
    lost: dict[str, str] = field(default_factory=dict)
    looked: bool = False

    async def look(self) -> None:
        """Once, when the session is opened first; what cannot be asked is not said."""
        if self.looked:
            return
        self.looked = True
        try:
            said = await self.ask("lost_before")
            moments = {name: datetime.fromisoformat(str(said[name])).isoformat() for name in ("began", "missed")} if said else {}
        except (CloisterError, KeyError, ValueError):
            return
        if said and said["why"] in WHYS:
            self.lost = {"server": str(said["server"]), "why": str(said["why"]), **moments}

    def typed_then(self, drafts: list[Draft]) -> list[tuple[Draft, datetime]]:
        """What was kept of that session's forms, with the moment up to which it was."""
        began = datetime.fromisoformat(self.lost["began"])
        found = [(one, datetime.fromisoformat(one.saved)) for one in drafts]
        return [(one, saved) for one, saved in found if saved >= began]
