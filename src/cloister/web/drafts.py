"""Drafts of the record's forms: saved as they are typed, offered again on any terminal, gone when the form was saved. docs/sessions.md.

The text is sealed here, with keys of this person alone, before it leaves the session. Nothing is kept in the browser.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field

from cloister.base.clock import Clock, iso
from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.zones import Forged
from cloister.zones import drafts as sealing


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One form's fields as they were typed; `saved` in ISO 8601. `form` is the path to which it is sent, `page` where it stands."""

    form: str
    page: str
    title: str
    fields: dict[str, list[str]]
    saved: str


@dataclass(slots=True)
class Drafts:
    """One unlocked session's way to its person's drafts."""

    keys: sealing.DraftKeys
    gate: Caller
    clock: Clock
    _names: set[bytes] | None = field(default=None, repr=False)

    async def save(self, form: str, page: str, title: str, fields: dict[str, list[str]]) -> str:
        """The moment under which it was kept."""
        moment = iso(self.clock())
        text = {"form": form, "page": page, "title": title, "fields": fields, "saved": moment}
        plain = json.dumps(text, ensure_ascii=False).encode()
        await self.gate.call("draft_put", name=self.keys.name(form), body=self.keys.seal(form, plain))
        (await self._known()).add(self.keys.name(form))
        return moment

    async def of(self, forms: list[str]) -> dict[str, Draft]:
        """Those that there are, by form; one question to the gate, and none where nothing is kept."""
        known = await self._known()
        names = [self.keys.name(form) for form in forms]
        return {one.form: one for one in await self._opened([name for name in names if name in known])}

    async def all(self) -> list[Draft]:
        return await self._opened(sorted(await self._known(fresh=True)))

    async def drop(self, form: str) -> None:
        """A form was saved, or its draft was put aside. Costs nothing where there is none."""
        name, known = self.keys.name(form), await self._known()
        if name in known:
            await self.gate.call("draft_drop", name=name)
            known.discard(name)

    async def count(self) -> int:
        return len(await self._known())

    async def _known(self, *, fresh: bool = False) -> set[bytes]:
        if self._names is None or fresh:
            self._names = {bytes(name) for name in await self.gate.call("draft_names")}
        return self._names

    async def _opened(self, names: list[bytes]) -> list[Draft]:
        """Those that this person sealed; what does not open was forged, or sealed under keys from before a new enrolment."""
        found = []
        for name, body, _ in await self.gate.call("drafts", names=names) if names else []:
            try:
                plain = json.loads(self.keys.open(bytes(name), bytes(body)))
                page = plain.get("page", plain["form"])  # drafts of before 'page' stand where they are sent
                found.append(Draft(form=plain["form"], page=page, title=plain["title"], fields=plain["fields"], saved=plain["saved"]))
            except (Forged, ValueError, KeyError, TypeError):
                log("draft.refused", level="warning")
                await self.gate.call("draft_drop", name=bytes(name))
        return found


async def saved_form(drafts: Drafts | None, form: str) -> None:
    """After a form was taken: what was kept of it goes. That it could not is no fault of the form, and it is offered once more."""
    if drafts is not None:
        with contextlib.suppress(CloisterError):
            await drafts.drop(form)
