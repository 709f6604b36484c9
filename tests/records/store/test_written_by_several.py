"""Several sessions write in one record at once: nothing is lost, everybody sees all of it, and the chain holds."""

from __future__ import annotations

import asyncio
import uuid

from people import admitted, found, search, weighed, weight
from store_rig import PROGRAM, Rig, Session

from cloister.zones import commits

CODE = "code=http://loinc.org|29463-7"


async def test_many_who_write_at_once_in_one_record_lose_nothing(trust: Rig, program: Session) -> None:
    others = [await trust.session(PROGRAM) for _ in range(3)]
    patients = [await admitted(program, f"Several-{number}") for number in range(2)]
    everybody = [program, *others]
    written = await asyncio.gather(*(weighed(one, patient, 60 + n) for n in range(5) for one in everybody for patient in patients))
    for patient in patients:
        mine = {one.stored.id for one in written if one.stored.resource["subject"]["reference"].endswith(patient)}  # type: ignore[index]
        for one in everybody:
            assert set(await found(one, "Observation", f"patient={patient}&{CODE}&_count=50")) == mine
    (id,) = (await program.records._room.finder.patients([patients[0]]))[patients[0]]
    dossier = program.records._room.dossiers.get(id)
    assert dossier is not None
    blobs = [bytes(blob) for _, blob in await program.gate.call("commits", dossier=id)]
    chain = commits.verify_chain(blobs, program.keyring, dossier=str(uuid.UUID(bytes=id)), key=dossier.key)
    assert chain[-1].hash == dossier.head
    assert len(chain) >= 21
    for one in others:
        one.close()


async def test_a_search_sees_what_a_colleague_wrote_or_changed_since_it_was_last_made(trust: Rig, program: Session) -> None:
    colleague = await trust.session(PROGRAM)
    patient = await admitted(program, "Since")
    first = await weighed(program, patient, 70)
    where = f"patient={patient}&{CODE}"
    assert await found(colleague, "Observation", where) == [first.stored.id]

    other = weight(patient, 1)
    other["code"]["coding"][0]["code"] = "8302-2"  # of another kind: what was found is still all
    await program.records.create(other)
    assert await found(colleague, "Observation", where) == [first.stored.id]

    second = await weighed(program, patient, 71)
    assert set(await found(colleague, "Observation", where)) == {first.stored.id, second.stored.id}

    await program.records.update(weight(patient, 72) | {"id": first.stored.id})
    page = await search(colleague, "Observation", where)
    assert {hit.stored.id: hit.stored.version for hit in page.hits} == {first.stored.id: 2, second.stored.id: 1}

    changed = weight(patient, 72) | {"id": first.stored.id, "code": other["code"]}  # it does not match any more
    await program.records.update(changed)
    assert await found(colleague, "Observation", where) == [second.stored.id]
    await program.records.delete("Observation", second.stored.id)
    assert await found(colleague, "Observation", where) == []
    colleague.close()
