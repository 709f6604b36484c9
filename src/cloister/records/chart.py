"""One patient's chart, opened: answers from the dossier's own sealed index, without any token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloister.records.stored import Page, Reader, Stored, Written

if TYPE_CHECKING:
    from cloister.records.search import Query


class Chart:
    """A patient's dossier in this session. Made by `Records.open_chart`; its opening is audited."""

    patient: Stored

    async def all(self, type: str, *, newest: int | None = None) -> list[Stored]:
        """Every current resource of a type, newest clinical date first; `newest` limits the number."""
        raise NotImplementedError

    async def summary(self, limits: dict[str, int]) -> dict[str, list[Stored]]:
        """`all` for several types in one call to the store: {'Condition': 50, 'Observation': 200, ...}."""
        raise NotImplementedError

    async def count(self, type: str) -> int:
        raise NotImplementedError

    async def search(self, query: Query) -> Page:
        """A search inside this chart; the query needs no patient parameter."""
        raise NotImplementedError

    async def write(self, resource: dict[str, Any]) -> Written:
        """Create (no id) or update a resource of this patient."""
        raise NotImplementedError

    async def readers(self) -> list[Reader]:
        """The zones that may open this dossier, with the people granted in each."""
        raise NotImplementedError
