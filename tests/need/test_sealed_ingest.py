"""A blood analyser seals into cardiology over a real store gate: it reads nothing back, and only what is right is taken up."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from need_cast import ANALYSER, CARDIOLOGY, EMERGENCY, KARIM, LECLERC, VASSEUR, SignIn
from people import admitted, search, weight
from store_rig import Rig, Session

from cloister.base.clock import system_clock
from cloister.base.errors import CloisterError, NotFound
from cloister.cli.ingest import Device, device_of
from cloister.records import Records, sealed_in
from cloister.records.intake import Taken
from cloister.records.interactions.ingest import _plain
from cloister.zones import Forged, TrustRoots, algorithms, bundle, envelope, epochs


@contextlib.contextmanager
def refused(*reasons: str) -> Iterator[None]:
    with pytest.raises(CloisterError) as caught:
        yield
    assert caught.value.reason in reasons, caught.value.reason


async def described(trust: Rig, session: Session) -> dict[str, Any]:
    rows = await session.gate.call("trust_material")
    whole: dict[str, Any] = json.loads(json.dumps(_plain({**rows, **(await session.gate.call("ingest_zones"))})))
    return whole


async def device(trust: Rig, session: Session) -> Device:
    return device_of(await described(trust, session), trust.trust, trust._programs[ANALYSER.client_id])


async def send(session: Session, one: Device, content: bytes, *, zone: str = CARDIOLOGY, seq: int | None = None) -> int:
    number = seq or one.next
    await session.gate.call("ingest_put", zone=zone, epoch=one.epochs[zone].epoch, seq=number, body=one.message(zone, number, content))
    return number


async def taken(records: Records) -> Taken:
    return await records.take_up()


async def listed(session: Session) -> dict[int, str]:
    return {row[3]: row[6] for row in (await session.gate.call("ingest_listed"))["messages"]}


@pytest.fixture
async def analyser(trust: Rig) -> Any:
    session = await trust.session(ANALYSER)
    yield session
    session.close()


async def test_a_machine_seals_a_measurement_and_the_wards_doctor_finds_it_in_the_record(
    trust: Rig, analyser: Session, sign_in: SignIn
) -> None:
    vasseur = (await sign_in(VASSEUR)).session
    patient = await admitted(vasseur, "Aubert")
    one = await device(trust, analyser)
    number = await send(analyser, one, json.dumps(weight(patient, 64.2)).encode())
    assert (await taken(vasseur.records)).done == 1
    (stored,) = [hit.stored.resource for hit in (await search(vasseur, "Observation", f"patient={patient}")).hits]
    assert stored["valueQuantity"]["value"] == pytest.approx(64.2)
    assert stored["meta"]["source"] == f"urn:cloister:ingest:{ANALYSER.client_id}:{number}"


async def test_the_machine_holds_no_zone_and_cannot_read_its_own_message_back(trust: Rig, analyser: Session) -> None:
    one = await device(trust, analyser)
    assert one.keyring.zones == []
    blob = one.message(CARDIOLOGY, one.next, b'{"resourceType":"Observation"}')
    sealed = sealed_in.verified_content(
        blob,
        one.keyring.offices.certificates,
        {"ingest": {ANALYSER.client_id: one.keyring.certificate.hash.hex()}},
        trust.trust.trust_id,
        system_clock(),
    )
    with refused("right-missing"):
        one.keyring.open_ingest(CARDIOLOGY, 1, sealed.sealed, sealed.info)
    with pytest.raises(Forged):
        one.keyring.open_sealed(sealed.sealed, sealed.info)
    assert await analyser.gate.call("zones") == []
    assert await analyser.gate.call("ingest_next") == []
    assert b"Observation" not in blob


async def test_the_same_message_twice_is_one_and_another_under_its_number_is_refused(
    trust: Rig, analyser: Session, sign_in: SignIn
) -> None:
    vasseur = (await sign_in(VASSEUR)).session
    patient = await admitted(vasseur)
    one = await device(trust, analyser)
    seq, content = one.next, json.dumps(weight(patient)).encode()
    blob = one.message(CARDIOLOGY, seq, content)
    asked = {"zone": CARDIOLOGY, "epoch": 1, "seq": seq}
    assert (await analyser.gate.call("ingest_put", body=blob, **asked))["again"] is False
    assert (await analyser.gate.call("ingest_put", body=blob, **asked))["again"] is True
    with refused("sequence-taken"):
        await analyser.gate.call("ingest_put", body=one.message(CARDIOLOGY, seq, content), **asked)
    assert (await taken(vasseur.records)).done == 1
    # The administrator, who kept it, makes the same message wait once more: it is not taken up twice.
    database = await trust.connect()
    kept = await database.fetchval("select body from care.ingest where device = $1 and seq = $2", ANALYSER.client_id, seq)
    assert kept == b""  # what is in the record is not kept twice
    again = "update care.ingest set state = 'waiting', leased_until = null, body = $3 where device = $1 and seq = $2"
    await database.execute(again, ANALYSER.client_id, seq, blob)
    await database.close()
    assert (await taken(vasseur.records)).done == 1
    page = await search(vasseur, "Observation", f"patient={patient}")
    assert [hit.stored.version for hit in page.hits] == [1]


async def test_a_message_moved_to_another_zone_or_number_or_changed_is_refused_by_name_and_stays_listed(
    trust: Rig, analyser: Session, sign_in: SignIn
) -> None:
    leclerc, karim = (await sign_in(LECLERC)).session, (await sign_in(KARIM)).session
    await taken(leclerc.records)
    one = await device(trust, analyser)
    moved, renumbered, changed = one.next, one.next + 1, one.next + 2
    for seq in (moved, renumbered, changed):
        await send(analyser, one, json.dumps(weight(await admitted(leclerc))).encode(), seq=seq)
    database = await trust.connect()
    await database.execute("update care.ingest set zone = $2 where seq = $1", moved, EMERGENCY)
    await database.execute("update care.ingest set seq = 900 where seq = $1", renumbered)
    await database.execute("update care.ingest set body = overlay(body placing '\\x00'::bytea from 400) where seq = $1", changed)
    await database.close()
    assert (await taken(leclerc.records)).refused == 2
    reasons = await listed(leclerc)
    assert reasons[900].startswith("swapped")
    assert reasons[changed].startswith("signature")
    assert (await taken(karim.records)).refused == 0  # his zone's policy names no machine: he takes nothing up
    assert (await leclerc.gate.call("ingest_listed"))["missing"][ANALYSER.client_id] > 0


async def test_a_device_that_it_itself_certified_is_nobody(trust: Rig, analyser: Session, sign_in: SignIn) -> None:
    """Keys of its own making, under the right name: signed by nobody whom the zone's policy names."""
    leclerc = (await sign_in(LECLERC)).session
    await taken(leclerc.records)
    one = await device(trust, analyser)
    forged = bundle.new_bundle(ANALYSER.client_id)
    signer = envelope.person_signer(algorithms.sha256(b"no certificate"), forged.signing)
    body = sealed_in.sealed_content(
        signer, trust=trust.trust.trust_id, epoch=one.epochs[CARDIOLOGY], seq=one.next, content=b"{}", now=system_clock()
    )
    await analyser.gate.call("ingest_put", zone=CARDIOLOGY, epoch=1, seq=one.next, body=body)
    assert (await taken(leclerc.records)).refused == 1
    assert (await listed(leclerc))[one.next].startswith("certificate-missing")


async def test_only_measurements_come_in_this_way(trust: Rig, analyser: Session, sign_in: SignIn) -> None:
    leclerc = (await sign_in(LECLERC)).session
    await taken(leclerc.records)
    one = await device(trust, analyser)
    contents: list[Any] = [
        {"resourceType": "Patient", "name": [{"family": "Nobody"}]},
        {"resourceType": "Bundle", "type": "collection", "entry": []},
        weight(str(uuid.uuid4())),
        {**weight(str(uuid.uuid4())), "status": "no such status"},
    ]
    for place, content in enumerate(contents):
        await send(analyser, one, json.dumps(content).encode(), seq=one.next + place)
    assert (await taken(leclerc.records)).refused == len(contents)
    reasons = await listed(leclerc)
    assert reasons[one.next].startswith("ingest-kind")
    assert reasons[one.next + 1].startswith("ingest-content")
    assert reasons[one.next + 2].startswith("patient-unknown")
    assert reasons[one.next + 3]
    await leclerc.gate.call("ingest_again", device=ANALYSER.client_id, seq=one.next)
    assert (await taken(leclerc.records)).refused == 1


async def test_a_zone_that_does_not_name_the_machine_and_an_old_epoch_are_refused_at_the_gate(
    trust: Rig, analyser: Session, sign_in: SignIn
) -> None:
    one = await device(trust, analyser)
    with pytest.raises(NotFound):
        one.message(EMERGENCY, one.next, b"{}")
    with refused("device-not-named"):
        await analyser.gate.call("ingest_put", zone=EMERGENCY, epoch=1, seq=one.next, body=b"anything")
    with refused("epoch-replaced"):
        await analyser.gate.call("ingest_put", zone=CARDIOLOGY, epoch=2, seq=one.next, body=b"anything")
    vasseur = (await sign_in(VASSEUR)).session
    with refused("not-a-machine"):
        await vasseur.gate.call("ingest_put", zone=CARDIOLOGY, epoch=1, seq=1, body=b"anything")


async def test_the_machine_does_not_seal_to_a_key_that_no_access_officer_signed(trust: Rig, analyser: Session) -> None:
    rows = await described(trust, analyser)
    mine = algorithms.random(32)
    other = epochs.EpochKeys(CARDIOLOGY, 1, epochs.new_zone_key())
    signer = envelope.person_signer(algorithms.sha256(mine), bundle.new_bundle("x").signing)
    record = epochs.epoch_record(
        signer, trust=trust.trust.trust_id, keys=other, index_key=epochs.new_index_key(), previous=None, made=system_clock()
    )
    swapped = {**rows, "zones": [[*row[:3], _plain(record)] for row in rows["zones"]]}
    with refused("certificate-missing"):
        device_of(swapped, trust.trust, trust._programs[ANALYSER.client_id])
    elsewhere = TrustRoots(trust.trust.trust_id, trust.trust.certificate_root_public, algorithms.sign_public(algorithms.random(32)))
    with refused("mandate-missing"):
        device_of(rows, elsewhere, trust._programs[ANALYSER.client_id])
