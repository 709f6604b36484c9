"""The FHIR endpoint of a real session: its records behind the gate and PostgreSQL, without the network."""

from __future__ import annotations

from typing import Any

import httpx
from starlette.types import Receive, Scope, Send
from store_rig import Session

from cloister.records.fhir.routes import endpoint


def client_of(session: Session) -> httpx.AsyncClient:
    inner = endpoint()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["records"] = session.records
        await inner(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app=application), base_url="https://trust.example/fhir/R4")


async def get(session: Session, path: str, status: int = 200) -> dict[str, Any]:
    async with client_of(session) as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def post(session: Session, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    async with client_of(session) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def pages(session: Session, path: str) -> list[dict[str, Any]]:
    """The first page and all that its links lead to."""
    found = [await get(session, path)]
    while following := [link["url"] for link in found[-1]["link"] if link["relation"] == "next"]:
        found.append(await get(session, following[0]))
    return found


def references(*bundles: dict[str, Any]) -> list[str]:
    return [f"{one['resource']['resourceType']}/{one['resource']['id']}" for bundle in bundles for one in bundle.get("entry", [])]
