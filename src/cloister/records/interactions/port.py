"""What the FHIR interactions ask of the records of one session. Spec: http://hl7.org/fhir/R4/http.html.

`cloister.records.records.Records` keeps these promises; tests keep them with a small record in memory.
Every write checks the resource itself (`validation.check`), so that no caller can forget it.
"""

from __future__ import annotations

from typing import Any, Protocol

from cloister.records.search.query import Query
from cloister.records.stored import Outcome, Page, Stored, Written


class RecordsPort(Protocol):
    """Each method answers, refuses, or finds nothing; none tells what this session may not know."""

    async def read(self, type: str, id: str) -> Stored: ...

    async def vread(self, type: str, id: str, version: int) -> Stored: ...

    async def history(self, type: str, id: str) -> list[Stored]: ...

    async def create(self, resource: dict[str, Any], *, zone: str | None = None, if_none_exist: Query | None = None) -> Written: ...

    async def update(self, resource: dict[str, Any], *, if_match: int | None = None, zone: str | None = None) -> Written: ...

    async def delete(self, type: str, id: str, *, if_match: int | None = None) -> None: ...

    async def update_where(
        self, resource: dict[str, Any], query: Query, *, if_match: int | None = None, zone: str | None = None
    ) -> Written: ...

    async def delete_where(self, query: Query, *, if_match: int | None = None) -> Stored | None: ...

    async def matching(self, query: Query) -> Stored | None: ...

    async def search(self, query: Query) -> Page: ...

    async def page(self, token: str) -> Page: ...

    async def transaction(self, bundle: dict[str, Any], *, zone: str | None = None, idempotent: bool = False) -> list[Outcome]: ...

    async def batch(self, bundle: dict[str, Any], *, zone: str | None = None) -> list[Outcome]: ...
