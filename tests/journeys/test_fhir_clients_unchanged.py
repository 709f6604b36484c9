"""Clients that must work as they come: fhirpy, and fhirclient where it is installed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound
from journeys_cast import FHIR, LOINC, end_program, observation, patient, word
from running_trust import RunningTrust

SYSTEM = "https://numbers.example/patients"


@pytest.fixture(scope="module")
def bearer(trust: RunningTrust) -> Iterator[str]:
    client = trust.program(0, label="fhir-clients")
    yield client.headers["authorization"]
    end_program(client)


@pytest.fixture
def fhir(trust: RunningTrust, bearer: str) -> AsyncFHIRClient:
    tls = ssl.create_default_context(cafile=str(trust.ca))
    return AsyncFHIRClient(f"{trust.base}{FHIR}", authorization=bearer, aiohttp_config={"ssl": tls})


def new(fhir: AsyncFHIRClient, resourceType: str, **fields: Any) -> Any:  # noqa: N803 - FHIR's own word
    return fhir.resource(resourceType, **fields)


async def test_fhirpy_creates_reads_updates_and_deletes(fhir: AsyncFHIRClient) -> None:
    family = word()
    made = new(fhir, **patient(family))
    await made.save()
    assert made.id
    read = await fhir.reference("Patient", made.id).to_resource()
    assert read["name"][0]["family"] == family
    read["gender"] = "male"
    await read.save()
    assert (await fhir.reference("Patient", made.id).to_resource())["meta"]["versionId"] == "2"
    await made.refresh()
    assert made["gender"] == "male"
    await made.delete()
    with pytest.raises(ResourceNotFound):
        await fhir.reference("Patient", made.id).to_resource()


async def test_fhirpy_updates_only_what_it_has_seen(fhir: AsyncFHIRClient, trust: RunningTrust, bearer: str) -> None:
    made = new(fhir, **patient(word()))
    await made.save()
    older = await fhir.reference("Patient", made.id).to_resource()
    made["active"] = True
    await made.save()
    tls = ssl.create_default_context(cafile=str(trust.ca))
    careful = AsyncFHIRClient(f"{trust.base}{FHIR}", authorization=bearer, aiohttp_config={"ssl": tls}, extra_headers={"If-Match": 'W/"1"'})
    with pytest.raises(MultipleResourcesFound) as stale:  # its word for 412
        await careful.resource("Patient", **older).save()
    assert "version 1" in str(stale.value)
    assert (await fhir.reference("Patient", made.id).to_resource())["active"] is True


async def test_fhirpy_searches_chains_includes_sorts_and_walks_through_pages(fhir: AsyncFHIRClient) -> None:
    family, value = word(), word()
    who = new(fhir, **patient(family, identifier=[{"system": SYSTEM, "value": value}]))
    await who.save()
    about = f"Patient/{who.id}"
    for number in range(11):
        await new(fhir, **observation(about, value=60 + number)).save()
    await new(fhir, **observation(about, code="8480-6", value=120)).save()
    assert (await fhir.resources("Patient").search(identifier=f"{SYSTEM}|{value}").first()).id == who.id
    assert (await fhir.resources("Patient").search(name=family).get()).id == who.id
    pulses = fhir.resources("Observation").search(patient=about, code=f"{LOINC}|8867-4")
    assert await pulses.count() == 11
    walked = [one async for one in pulses.limit(4).sort("-_lastUpdated")]
    assert len({one.id for one in walked}) == len(walked) == 11
    everything = await pulses.limit(3).fetch_all()
    assert len(everything) == 11
    chained = fhir.resources("Observation").search(patient__Patient__identifier=f"{SYSTEM}|{value}", code="8480-6")
    assert [one["valueQuantity"]["value"] for one in await chained.fetch()] == [120]
    bundle = await fhir.resources("Observation").search(patient=about, code="8480-6").include("Observation", "subject").fetch_raw()
    assert {entry.resource.resource_type for entry in bundle.entry} == {"Observation", "Patient"}
    back = await fhir.resources("Patient").search(_id=who.id).revinclude("Observation", "subject").fetch_raw()
    assert sum(entry.resource.resource_type == "Observation" for entry in back.entry) == 12
    elements = await fhir.resources("Patient").search(_id=who.id).elements("birthDate").get()
    assert "birthDate" in elements
    assert "name" not in elements


async def test_fhirpy_gets_or_creates_once(fhir: AsyncFHIRClient) -> None:
    value = word()
    wanted = new(fhir, **patient(word(), identifier=[{"system": SYSTEM, "value": value}]))
    first, made = await fhir.resources("Patient").search(identifier=f"{SYSTEM}|{value}").get_or_create(wanted)
    again, made_again = await fhir.resources("Patient").search(identifier=f"{SYSTEM}|{value}").get_or_create(wanted)
    assert (made, made_again) == (True, False)
    assert first.id == again.id


async def test_fhirpy_sends_a_transaction_and_is_told_what_is_wrong(fhir: AsyncFHIRClient) -> None:
    family = word()
    entries: list[dict[str, Any]] = [
        {
            "fullUrl": "urn:uuid:7c3a0a3e-6a1c-4c5e-9f10-2f2d3a4b5c6d",
            "resource": patient(family),
            "request": {"method": "POST", "url": "Patient"},
        },
        {"resource": observation("urn:uuid:7c3a0a3e-6a1c-4c5e-9f10-2f2d3a4b5c6d"), "request": {"method": "POST", "url": "Observation"}},
    ]
    answer = await fhir.execute("", "post", data={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201", "201"]
    who = await fhir.resources("Patient").search(name=family).get()
    assert await fhir.resources("Observation").search(patient=f"Patient/{who.id}").count() == 1
    with pytest.raises(OperationOutcome) as refused:
        await fhir.resource("Observation", status="guessed", code={"text": "x"}).save()
    assert refused.value.resource["issue"][0]["expression"] == ["Observation.status"]


def test_fhirclient_reads_searches_creates_updates_and_deletes(trust: RunningTrust, bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fhirclient", reason="fhirclient is not installed")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trust.ca))
    from fhirclient import client as fhirclient
    from fhirclient.models.humanname import HumanName
    from fhirclient.models.observation import Observation
    from fhirclient.models.patient import Patient

    smart = fhirclient.FHIRClient(settings={"app_id": "cloister-test", "api_base": f"{trust.base}{FHIR}/"})
    smart.server.session.headers["Authorization"] = bearer
    family = word()
    who = Patient({"name": [{"family": family}], "gender": "female"})
    made = who.create(smart.server)
    assert made["id"]
    found = Patient.where({"name": family}).perform_resources(smart.server)
    assert [one.id for one in found] == [made["id"]]
    one = Patient.read(made["id"], smart.server)
    one.name = [HumanName({"family": family, "given": ["Ève"]})]
    one.update(smart.server)
    assert Patient.read(made["id"], smart.server).name[0].given == ["Ève"]
    Observation(observation(f"Patient/{made['id']}")).create(smart.server)
    pulses = Observation.where({"patient": made["id"], "code": "8867-4"}).perform_resources(smart.server)
    assert len(pulses) == 1
    assert pulses[0].subject.resolved(Patient).id == made["id"]
    pulses[0].delete()
    assert Observation.where({"patient": made["id"]}).perform_resources(smart.server) == []
