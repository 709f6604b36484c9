"""Deep revoke: a record gets new keys, and whoever left with the old ones opens nothing that is there now."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from need_cast import CARDIOLOGY, DELORME, EMERGENCY, KARIM, LECLERC, TILLEULS, VASSEUR, SignIn
from people import admitted, found, stay, weighed
from store_rig import Rig, Session

from cloister.base.errors import Denied
from cloister.base.secret import Secret
from cloister.cli import chains
from cloister.records import parse, sealed_in
from cloister.records.rekeying import rekey, rekey_zone
from cloister.zones import DossierKey, Forged, algorithms, commits, envelope, epochs
from cloister.zones.dossiers import new_dossier_key, parts_root

WHY = "A colleague left on bad terms"


async def dossier_of(session: Session, patient: str) -> bytes:
    return (await session.records.read("Patient", patient)).dossier


def kept(session: Session, id: bytes) -> DossierKey:
    """What somebody keeps who copies the key out of one's own session."""
    dossier = session.records._room.dossiers.get(id)
    assert dossier is not None
    return DossierKey(dossier.name, dossier.key_no, Secret(dossier.secret[dossier.key_no].reveal()))


async def walked(trust: Rig) -> list[chains.Walked]:
    connection = await trust.connect()
    try:
        authors = await chains.known_authors(connection, trust.trust)
        return [one async for one in chains.walk(connection, authors)]
    finally:
        await connection.close()


async def test_a_colleague_who_left_opens_neither_rows_nor_index_with_the_old_key(sign_in: SignIn, trust: Rig) -> None:
    vasseur, leclerc = (await sign_in(VASSEUR)).session, (await sign_in(LECLERC)).session
    patient = await admitted(vasseur, "Rekey", ward=CARDIOLOGY)
    weight = (await weighed(vasseur, patient, 70.5)).stored
    id = await dossier_of(leclerc, patient)
    old = kept(leclerc, id)
    assert await vasseur.records.rekey(patient, WHY) == 2
    connection = await trust.connect()
    dossier = uuid.UUID(bytes=id)
    rows = await connection.fetch("select id, rtype, ver, key_no, dict_no, ct from care.res where dossier = $1", dossier)
    parts = await connection.fetch("select part_no, ct from care.index_part where dossier = $1", dossier)
    await connection.close()
    assert [row["key_no"] for row in rows] == [2, 2, 2]
    assert len(parts) == 1
    trust_id = trust.trust.trust_id
    for row in rows:
        for type in ("Patient", "Encounter", "Observation"):
            with pytest.raises(Forged):
                old.open_version(trust_id, type, str(row["id"]), row["ver"], row["dict_no"], bytes(row["ct"]))
    with pytest.raises(Forged):
        old.open_index_part(parts[0]["part_no"], bytes(parts[0]["ct"]))
    new = kept(vasseur, id)
    new.open_index_part(parts[0]["part_no"], bytes(parts[0]["ct"]))
    # A colleague whose session had it open goes on reading and writing; so does the author.
    assert (await leclerc.records.read("Observation", weight.id)).version == 1
    changed = {**(await leclerc.records.read("Observation", weight.id)).resource, "status": "amended"}
    assert (await leclerc.records.update(changed)).stored.version == 2
    assert [one.version for one in await vasseur.records.history("Observation", weight.id)] == [2, 1]
    assert await found(vasseur, "Patient", "family=Rekey") == [patient]
    every = await walked(trust)
    assert not [one.fault for one in every if one.fault]
    (renewal,) = next(one.renewals for one in every if one.dossier == new.dossier)
    assert (renewal.key_no, renewal.author.person) == (2, VASSEUR.id), "whoever walks the chains is told of new keys and their maker"


async def test_a_ward_that_the_author_does_not_hold_reads_and_writes_on(sign_in: SignIn, trust: Rig) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    patient = await admitted(vasseur, "Elsewhere", ward=CARDIOLOGY)
    weight = (await weighed(vasseur, patient, 60)).stored
    moved = stay(patient, EMERGENCY)
    moved["location"].insert(0, {"location": {"reference": f"Location/{CARDIOLOGY}"}, "status": "completed"})
    await vasseur.records.create(moved)
    assert await karim.records.take_shares() == 1
    await karim.records.read("Observation", weight.id)
    assert await vasseur.records.rekey(patient, WHY) == 2
    # At once, before anybody has taken the keys up; and a session that begins now.
    assert (await karim.records.read("Observation", weight.id)).version == 1
    await weighed(karim, patient, 61)
    fresh = (await sign_in(KARIM)).session
    assert len(await found(fresh, "Observation", f"patient={patient}")) == 2
    assert (await karim.records.renew_keys())[0] == 1
    assert (await fresh.records.renew_keys())[0] == 0
    again = (await sign_in(KARIM)).session
    assert len(await found(again, "Observation", f"patient={patient}")) == 2
    assert len(await found(vasseur, "Observation", f"patient={patient}")) == 2
    assert not [one.fault for one in await walked(trust) if one.fault]


async def test_a_ward_that_was_offered_the_record_before_gets_the_new_keys_too(sign_in: SignIn) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    patient = await admitted(vasseur, "Underway", ward=CARDIOLOGY)
    moved = stay(patient, EMERGENCY)
    moved["location"].insert(0, {"location": {"reference": f"Location/{CARDIOLOGY}"}, "status": "completed"})
    await vasseur.records.create(moved)
    assert await vasseur.records.rekey(patient, WHY) == 2
    assert await karim.records.take_shares() == 1
    assert (await karim.records.read("Patient", patient)).version == 1


async def test_a_zone_wide_run_that_was_cut_goes_on_where_it_was(sign_in: SignIn, trust: Rig) -> None:
    vasseur, leclerc = (await sign_in(VASSEUR)).session, (await sign_in(LECLERC)).session
    patients = [await admitted(vasseur, f"Run{n}", ward=CARDIOLOGY) for n in range(3)]
    before = {one: (await vasseur.records._room.dossiers.open([await dossier_of(vasseur, one)])) for one in patients}
    assert len(before) == 3
    await vasseur.records.ask_rekey(CARDIOLOGY, WHY)
    first = await rekey_zone(vasseur.records._room, CARDIOLOGY, WHY, most=2)
    assert (first.done, first.ended) == (2, False)
    vasseur.records.close()  # the session ends in the middle
    connection = await trust.connect()
    all_of_it = await connection.fetchval("select count(distinct dossier) from care.dossier_key where zone = $1", CARDIOLOGY)
    done = 2
    while (step := await leclerc.records.renew_keys())[1]:
        done += step[1]
    rekeyed = await connection.fetchval(
        "select count(*) from (select dossier from care.rekeyed group by dossier having count(*) filter (where made >= "
        "(select asked from care.rekey_run where zone = $1)) = 1) d",
        CARDIOLOGY,
    )
    assert (done, rekeyed) == (all_of_it, all_of_it)
    assert await connection.fetchval("select ended is not null from care.rekey_run where zone = $1", CARDIOLOGY)
    await connection.close()
    for patient in patients:
        assert (await leclerc.records.read("Patient", patient)).version == 1


async def test_a_record_that_is_being_written_is_tried_again(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    vasseur, leclerc = (await sign_in(VASSEUR)).session, (await sign_in(LECLERC)).session
    patient = await admitted(vasseur, "Busy", ward=CARDIOLOGY)
    room, calls = vasseur.records._room, []
    call = room.gate.call

    async def between(method: str, **arguments: Any) -> Any:
        if method == "rekey":
            calls.append(method)
            if len(calls) == 1:
                await weighed(leclerc, patient)
        return await call(method, **arguments)

    monkeypatch.setattr(room.gate, "call", between)
    assert await rekey(room, await dossier_of(vasseur, patient), WHY) == 2
    assert len(calls) == 2
    assert len(await found(vasseur, "Observation", f"patient={patient}")) == 1


async def test_who_may_not_write_makes_no_keys(sign_in: SignIn, trust: Rig) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    patient = await admitted(vasseur, "Notyours", ward=CARDIOLOGY)
    id, sent = await dossier_of(vasseur, patient), {}
    room = vasseur.records._room
    call = room.gate.call

    async def caught(method: str, **arguments: Any) -> Any:
        if method != "rekey":
            return await call(method, **arguments)
        sent.update(arguments)
        raise Denied("caught", reason="caught")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room.gate, "call", caught)
        with pytest.raises(Denied, match="caught"):
            await rekey(room, id, WHY)
    with pytest.raises(Denied) as elsewhere:
        await karim.gate.call("rekey", **sent)
    assert elsewhere.value.reason == "right-missing"
    with pytest.raises(Denied):
        await rekey(karim.records._room, id, WHY)
    connection = await trust.connect()
    await connection.execute("""update trust."grant" set "right" = 'read' where person = $1""", VASSEUR.id)
    try:
        reader = (await sign_in(VASSEUR)).session
        with pytest.raises(Denied) as only_reads:
            await reader.gate.call("rekey", **sent)
        assert only_reads.value.reason == "right-missing"
    finally:
        await connection.execute("""update trust."grant" set "right" = 'write' where person = $1""", VASSEUR.id)
        await connection.close()
    assert (await vasseur.records.read("Patient", patient)).version == 1


async def test_a_zone_that_an_administrator_writes_beside_a_record_gets_no_new_key(sign_in: SignIn, trust: Rig) -> None:
    vasseur, delorme = (await sign_in(VASSEUR)).session, (await sign_in(DELORME)).session
    patient = await admitted(vasseur, "Slipped", ward=CARDIOLOGY)
    id = await dossier_of(vasseur, patient)
    dossier = uuid.UUID(bytes=id)
    connection = await trust.connect()
    await connection.execute("insert into care.dossier_key values ($1, 1, 1, $2, $3)", dossier, TILLEULS, bytes(60))
    for forged in (False, True):
        if forged:  # a certified colleague of that zone helps with a share of one's own making
            keyring = delorme.keyring
            encounter = (await vasseur.records.search(parse("Encounter", [("patient", patient)]))).hits[0].stored.reference
            body = sealed_in.share(
                keyring.signer,
                trust=keyring.trust_id,
                epoch=await epoch_of(delorme, TILLEULS, trust),
                dossier=id,
                keys={1: Secret(bytes(32))},
                reason="transfer",
                resource=encounter,
                now=datetime.now(UTC),
            )
            await connection.execute(
                "insert into care.share (dossier, zone, resource, reason, giver, state, body) "
                "values ($1, $2, $3, 'transfer', $4, 'held', $5)",
                dossier, TILLEULS, encounter, DELORME.id, body,
            )  # fmt: skip
        with pytest.raises(Denied) as refused:
            await vasseur.records.rekey(patient, WHY)
        assert refused.value.reason == "zone-not-held"
    await connection.close()


async def epoch_of(session: Session, zone: str, trust: Rig) -> epochs.Epoch:
    connection = await trust.connect()
    body = bytes(await connection.fetchval("select body from trust.epoch where zone = $1 order by epoch desc limit 1", zone))
    await connection.close()
    number = int(envelope.peek_body(body)["epoch"])
    return session.keyring.epoch_record(zone, number, {number: body})


async def test_a_key_of_ones_own_making_is_not_taken_for_a_new_one(sign_in: SignIn, trust: Rig) -> None:
    """The administrator and a certified person who never had the record's key: they sign a head under a key of theirs."""
    vasseur, delorme = (await sign_in(VASSEUR)).session, (await sign_in(DELORME)).session
    patient = await admitted(vasseur, "Homemade", ward=CARDIOLOGY)
    id = await dossier_of(vasseur, patient)
    dossier = vasseur.records._room.dossiers.get(id)
    assert dossier is not None
    own = new_dossier_key()
    key, keyring = DossierKey(dossier.name, 2, own), delorme.keyring
    part = key.seal_index_part(9, b"")
    head = {"seq": dossier.seq + 1, "previous": dossier.head, "versions": [], "parts": parts_root({9: algorithms.sha256(part)})}
    blob = commits.sign_commit(keyring, key, milliseconds=int(time.time() * 1000), **head)
    body = sealed_in.share(
        keyring.signer,
        trust=keyring.trust_id,
        epoch=await epoch_of(vasseur, CARDIOLOGY, trust),
        dossier=id,
        keys={1: Secret(bytes(32)), 2: own},
        reason="transfer",
        resource="Encounter/x",
        now=datetime.now(UTC),
    )
    connection = await trust.connect()
    name = uuid.UUID(bytes=id)
    await connection.execute("insert into care.commit values ($1, $2, $3)", name, dossier.seq + 1, blob)
    await connection.execute("update care.dossier set seq = seq + 1 where id = $1", name)
    await connection.execute("delete from care.index_part where dossier = $1", name)
    await connection.execute("insert into care.index_part values ($1, 9, $2)", name, part)
    await connection.execute("insert into care.rekey (dossier, zone, key_no, body) values ($1, $2, 2, $3)", name, CARDIOLOGY, body)
    fresh = (await sign_in(LECLERC)).session
    for session in (vasseur, fresh):
        with pytest.raises(Forged) as refused:
            await session.records.history("Patient", patient)
        assert refused.value.reason == "commitment"
    for table in ("dossier_key", "rekey", "res", "zidx", "commit", "index_part"):  # so that the other tests find no forged record
        await connection.execute(f"delete from care.{table} where dossier = $1", name)
    await connection.execute("delete from care.dossier where id = $1", name)
    await connection.close()
