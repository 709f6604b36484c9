"""A list of resources that an operation has put together, given page by page. http://hl7.org/fhir/R4/operationslist.html.

The list stays in the session as places, not as bytes: a later page shows what is there then, and leaves out what was
deleted since. Its tokens mean nothing to another session.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from cloister.base.errors import Busy, NotFound
from cloister.records.dossiers import Dossiers
from cloister.records.stored import Hit, Page, Stored

LISTS_MAX: Final = 16
ATTEMPTS: Final = 4

Place = tuple[bytes, str, str]  # dossier, type, id


@dataclass(frozen=True, slots=True)
class Listed:
    """What an operation found, in its order. The first `matches` are what was asked for, the rest came along."""

    kind: str  # for the audit note
    places: tuple[Place, ...]
    matches: int
    count: int


class Listings:
    """The lists of one session whose further pages may be asked for."""

    def __init__(self, opened: Dossiers) -> None:
        self._dossiers = opened
        self._lists: OrderedDict[str, Listed] = OrderedDict()

    async def first(self, listed: Listed) -> Page:
        token = ""
        if len(listed.places) > listed.count:
            token = secrets.token_urlsafe(12)
            self._lists[token] = listed
            while len(self._lists) > LISTS_MAX:
                self._lists.popitem(last=False)
        return await self._page(listed, token, 0)

    async def page(self, token: str) -> Page:
        """A further page by its token, '<list>.<offset>'."""
        name, _, offset = token.partition(".")
        listed = self._lists.get(name)
        if listed is None or not offset.isascii() or not offset.isdigit() or len(offset) > 9:
            raise NotFound("This page is no longer kept.", hint="Ask for the first one again.", reason="page-expired")
        self._lists.move_to_end(name)
        return await self._page(listed, name, int(offset))

    def close(self) -> None:
        self._lists.clear()

    async def _page(self, listed: Listed, token: str, offset: int) -> Page:
        after = offset + listed.count
        hits = []
        for place, stored in await self._stored(listed, offset, after):
            hits.append(Hit(stored=stored, mode="match" if place < listed.matches else "include"))
        return Page(
            hits=tuple(hits),
            total=listed.matches,
            page=f"{token}.{offset}" if token else None,
            first=f"{token}.0" if token else None,
            previous=f"{token}.{max(0, offset - listed.count)}" if token and offset else None,
            next=f"{token}.{after}" if token and after < len(listed.places) else None,
        )

    async def _stored(self, listed: Listed, start: int, end: int) -> list[tuple[int, Stored]]:
        """The resources of a page with their place in the list; what is deleted or closed by now is left out."""
        wanted = list(enumerate(listed.places[start:end], start=start))
        seen: dict[int, Stored] = {}
        for attempt in range(ATTEMPTS):
            opened = await self._dossiers.open([dossier for _, (dossier, _, _) in wanted], fresh=attempt > 0)
            there = []
            for place, (dossier, type, id) in wanted:
                line = opened[dossier].line(type, id) if dossier in opened else None
                if line is not None and not line.deleted:
                    there.append((place, (opened[dossier], line)))
            missing = [one for one in there if one[0] not in seen]
            if missing or not attempt:
                names = dict.fromkeys(dossier.name for _, (dossier, _) in there) or {"": None}
                notes = [{"action": "search", "kind": listed.kind, "object": name} for name in names]
                stored, _ = await self._dossiers.rows([pair for _, pair in missing], notes)
                seen.update((place, one) for (place, _), one in zip(missing, stored, strict=True) if one is not None)
            if all(place in seen for place, _ in there):
                return [(place, seen[place]) for place, _ in there]
        raise Busy("These records are being written too quickly to be read.", hint="Try again.")
