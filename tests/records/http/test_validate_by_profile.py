"""$validate by profiles: those that are claimed, the one that is asked for, and those that lie in a register."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from profiles_cast import URL, element, loaded, profile


@pytest.fixture(scope="module", autouse=True)
def _profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with loaded(tmp_path_factory.mktemp("packs")):
        yield


def told(answer: httpx.Response) -> list[tuple[str, str, str]]:
    assert answer.status_code == 200, answer.text
    return [
        (one["severity"], one["details"].get("coding", [{}])[0].get("code", ""), one.get("expression", [""])[0])
        for one in answer.json()["issue"]
    ]


PERSON: dict[str, Any] = {"resourceType": "Patient", "name": [{"text": "One"}]}


async def test_a_profile_that_is_asked_for_is_checked_though_the_resource_does_not_claim_it(client: httpx.AsyncClient) -> None:
    found = told(await client.post("/Patient/$validate", params={"profile": f"{URL}citizen"}, json=PERSON))
    assert ("error", "profile-min", "Patient.identifier") in found
    assert told(await client.post("/Patient/$validate", json=PERSON)) == [("information", "", "")]


async def test_a_profile_that_nobody_knows_is_a_warning(client: httpx.AsyncClient) -> None:
    found = told(await client.post("/Patient/$validate", params={"profile": f"{URL}absent"}, json=PERSON))
    assert [one[:2] for one in found] == [("warning", "unknown-profile"), ("information", "")]


async def test_a_profile_in_a_register_is_checked_for_who_can_open_it(client: httpx.AsyncClient) -> None:
    made = profile("local", "Patient", element("Patient.birthDate", min=1))
    assert (await client.post("/StructureDefinition", json=made)).status_code == 201
    found = told(await client.post("/Patient/$validate", params={"profile": f"{URL}local"}, json=PERSON))
    assert found == [("error", "profile-min", "Patient.birthDate")]


async def test_a_write_that_breaks_its_profile_is_refused_and_one_of_an_unknown_profile_is_not(client: httpx.AsyncClient) -> None:
    claimed = PERSON | {"meta": {"profile": [f"{URL}citizen"]}}
    answer = await client.post("/Patient", json=claimed)
    assert answer.status_code == 422
    assert "Patient.identifier" in [one["expression"][0] for one in answer.json()["issue"]]
    assert (await client.post("/Patient", json=PERSON | {"meta": {"profile": [f"{URL}absent"]}})).status_code == 201
