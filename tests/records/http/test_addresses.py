"""Which interaction answers which address, as any router would choose it."""

from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from cloister.records.fhir.addresses import Address, Addresses


def _said(text: str) -> Address:
    method, path = text.split(" ")

    async def answer(request: Request) -> Response:
        return PlainTextResponse(f"{text} {request.path_params} {request.headers.get('X-Asked', '')}")

    return Address(path, frozenset({method}), answer)


async def _otherwise(request: Request) -> Response:
    return PlainTextResponse(f"otherwise {request.path_params}", status_code=400)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("GET /fhir/R4/metadata", "GET /metadata {}"),
        ("GET /fhir/R4/Patient", "GET /{type} {'type': 'Patient'}"),
        ("POST /fhir/R4/Patient", "otherwise {}"),
        ("GET /fhir/R4/Patient/_history", "GET /{type}/_history {'type': 'Patient'}"),
        ("GET /fhir/R4/Patient/7", "GET /{type}/{id} {'type': 'Patient', 'id': '7'}"),
        ("GET /fhir/R4/Binary/7", "GET /Binary/{id} {'id': '7'}"),
        ("POST /fhir/R4", "POST  {}"),
        ("POST /fhir/R4/", "POST / {}"),
        ("GET /fhir/R4//7", "otherwise {}"),
        ("GET /fhir/R4/Patient/7/", "otherwise {}"),
        ("GET /fhir/R4x", "Not Found"),
        ("GET /fhir/R5/Patient", "Not Found"),
    ],
)
async def test_the_first_address_that_fits_answers(asked: str, answered: str) -> None:
    addresses = [
        _said(text)
        for text in ("GET /metadata", "POST ", "POST /", "GET /{type}/_history", "GET /Binary/{id}", "GET /{type}", "GET /{type}/{id}")
    ]
    transport = httpx.ASGITransport(app=Addresses("/fhir/R4", addresses, _otherwise))
    async with httpx.AsyncClient(transport=transport, base_url="https://trust.example") as client:
        method, path = asked.split(" ")
        answer = await client.request(method, path, headers=[("x-asked", ""), ("x-asked", "twice")])
    assert answer.text.strip() == answered
