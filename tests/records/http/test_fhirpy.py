"""A hospital's script written with fhirpy works unchanged."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import fhirpy
import pytest
import uvicorn
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound
from records_in_memory import RecordsInMemory
from starlette.types import Receive, Scope, Send

from cloister.records.fhir.routes import endpoint


@pytest.fixture
async def fhir(records: RecordsInMemory) -> AsyncIterator[fhirpy.AsyncFHIRClient]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    inner = endpoint(origin)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["records"] = records
        await inner(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    yield fhirpy.AsyncFHIRClient(f"{origin}/fhir/R4", authorization="Bearer ticket")
    server.should_exit = True
    await serving


async def test_a_script_writes_searches_pages_and_deletes(fhir: fhirpy.AsyncFHIRClient) -> None:
    patient = fhir.resource("Patient", name=[{"family": "Lopez", "given": ["Hélène"]}], birthDate="1981-03-14")
    await patient.save()
    assert patient.id
    for number in range(7):
        pulse = fhir.resource(
            "Observation", status="final", code={"text": "pulse"}, subject=patient.to_reference(), valueInteger=60 + number
        )
        await pulse.save()
    found = fhir.resources("Observation").search(patient=patient.id).sort("-_lastUpdated").limit(3)
    assert len(await found.fetch()) == 3
    everything = await found.fetch_all()
    assert [one["valueInteger"] for one in everything] == [66, 65, 64, 63, 62, 61, 60]
    assert await found.count() == 7
    patient["gender"] = "female"
    await patient.save()
    again = await fhir.resources("Patient").search(family="lopez", gender="female").first()
    assert again is not None
    assert again["meta"]["versionId"] == "2"
    assert (await fhir.reference("Patient", patient.id).to_resource())["birthDate"] == "1981-03-14"
    await patient.delete()
    with pytest.raises(ResourceNotFound):
        await fhir.get("Patient", patient.id)


async def test_a_script_is_told_what_is_wrong(fhir: fhirpy.AsyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome) as refused:
        await fhir.resource("Patient", gender="unheard-of").save()
    assert "Patient.gender" in str(refused.value)
    bundle = fhir.resource("Bundle", type="transaction", entry=[])
    assert (await fhir.execute("", method="post", data=bundle.serialize()))["type"] == "transaction-response"
