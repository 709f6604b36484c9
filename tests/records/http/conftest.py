"""A FHIR client of a session whose records are in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from records_in_memory import RecordsInMemory
from starlette.types import Receive, Scope, Send

from cloister.records.fhir.routes import endpoint


@pytest.fixture
def records() -> RecordsInMemory:
    return RecordsInMemory()


@pytest.fixture
async def client(records: RecordsInMemory) -> AsyncIterator[httpx.AsyncClient]:
    inner = endpoint()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["records"] = records
        await inner(scope, receive, send)

    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="https://trust.example/fhir/R4") as one:
        yield one
