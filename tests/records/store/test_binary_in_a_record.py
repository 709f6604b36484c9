"""Bytes about a patient lie in that patient's record: closed to whoever cannot open it."""

from __future__ import annotations

import pytest
from over_http import client_of, get, references
from people import admitted, found
from store_rig import CARDIOLOGY, SURGERY, Session

from cloister.base.errors import Invalid, NotFound


async def kept(session: Session, patient: str) -> str:
    async with client_of(session) as client:
        headers = {"Content-Type": "application/pdf", "X-Security-Context": f"Patient/{patient}"}
        answer = await client.post("/Binary", content=b"%PDF-1.7", headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_bytes_follow_the_patients_record(program: Session, adele: Session, delorme: Session) -> None:
    mine, hidden = await admitted(program, ward=CARDIOLOGY), await admitted(program, ward=SURGERY)
    open_to_the_ward, closed = await kept(program, mine), await kept(program, hidden)
    async with client_of(adele) as client:
        answer = await client.get(f"/Binary/{open_to_the_ward}", headers={"Accept": "application/pdf"})
        assert answer.content == b"%PDF-1.7"
    for outsider in (adele, delorme):
        with pytest.raises(NotFound):
            await outsider.records.read("Binary", closed)
        assert closed not in await found(outsider, "Binary", "_count=1000")
    assert open_to_the_ward in await found(adele, "Binary", "_count=1000")
    assert f"Binary/{open_to_the_ward}" in references(await get(adele, f"/Patient/{mine}/$everything"))


async def test_bytes_about_nobody_that_is_here_are_refused(delorme: Session, program: Session) -> None:
    hidden = await admitted(program, ward=SURGERY)
    resource = {
        "resourceType": "Binary",
        "contentType": "text/plain",
        "data": "aGk=",
        "securityContext": {"reference": f"Patient/{hidden}"},
    }
    with pytest.raises(Invalid) as refused:
        await delorme.records.create(resource)
    assert refused.value.reason == "patient-unknown"
