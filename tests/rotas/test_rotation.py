"""New epochs over a real store gate: everybody who stays goes on, who leaves is out, and old wraps become new ones unread."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from people import admitted, found, weighed
from rotas_cast import (
    ADELE,
    ARNAUD,
    BRUNO,
    CARDIOLOGY,
    CELINE,
    HOSPITAL,
    KARIM,
    LECLERC,
    ROCHE,
    STAFF,
    SURGERY,
    VASSEUR,
    Enter,
    holds,
    renewed,
)
from store_rig import Rig, Session

from cloister.base.clock import system_clock
from cloister.base.errors import CloisterError, Conflict, Denied
from cloister.offices import granting, objects, rewrapping, rotation, teams
from cloister.zones import Refusal, epochs

HOUR = timedelta(hours=1)


async def rotated(officer: Session, zone: str, **more: object) -> rotation.Rotated:
    made = await rotation.rotate(officer.keyring, officer.gate, zone=zone, now=system_clock(), **more)  # type: ignore[arg-type]
    await renewed(officer)
    return made


async def grant_of(officer: Session, person: str, zone: str) -> bytes:
    rows = (await officer.gate.call("office_person", person=person))["grants"]
    return bytes(max((row for row in rows if row["zone"] == zone), key=lambda row: row["seq"])["hash"])


async def test_everybody_who_stays_reads_and_writes_on_and_who_leaves_does_not(trust: Rig, enter: Enter) -> None:
    officer, vasseur, leclerc = await enter(ARNAUD), await enter(VASSEUR), await enter(LECLERC)
    patient = await admitted(vasseur, "Moulin")
    now = system_clock()
    target = await grant_of(officer, LECLERC.id, CARDIOLOGY)
    ended = granting.revoked(officer.keyring, "grant", target, LECLERC.id, "Has left", now)
    made = await rotated(officer, CARDIOLOGY, without={LECLERC.id}, also=[ended])
    assert (LECLERC.id, "left-out") in made.left_out
    assert made.epoch == 2
    await renewed(leclerc)
    await renewed(vasseur)
    assert not holds(leclerc, CARDIOLOGY)
    assert vasseur.keyring.epoch(CARDIOLOGY) == 2
    assert vasseur.keyring.can(CARDIOLOGY, "write")
    await weighed(vasseur, patient)
    assert len(await found(vasseur, "Patient", "family=Moulin")) == 1
    second = await enter(ROCHE)
    assert second.keyring.passing_on(CARDIOLOGY).epoch == 2, "the other officer still holds the zone"


async def test_a_writer_with_older_keys_is_refused_and_goes_on_with_new_ones(trust: Rig, enter: Enter) -> None:
    officer, karim = await enter(ARNAUD), await enter(KARIM)
    before = karim.keyring.epoch(SURGERY)
    await rotated(officer, SURGERY)
    with pytest.raises(CloisterError) as refused:
        await admitted(karim, "Tardif")
    assert refused.value.reason == "head-moved", "tried again and again with the keys it has"
    await renewed(karim)
    assert karim.keyring.epoch(SURGERY) == before + 1
    await admitted(karim, "Tardif")


async def test_an_officer_rewraps_every_dossier_without_reading_one(trust: Rig, enter: Enter) -> None:
    officer, karim = await enter(ARNAUD), await enter(KARIM)
    for family in ("Un", "Deux", "Trois"):
        await admitted(karim, family)
    await rotated(officer, SURGERY)
    begun = await rewrapping.left(officer.gate, SURGERY)
    assert begun.stale >= 3
    seen: list[tuple[int, int]] = []
    done = await rewrapping.rewrap(officer.keyring, officer.gate, SURGERY, progress=lambda n, of: seen.append((n, of)))
    assert done == begun.stale
    assert seen[-1] == (done, begun.stale)
    assert (await rewrapping.left(officer.gate, SURGERY)).stale == 0
    assert await rewrapping.rewrap(officer.keyring, officer.gate, SURGERY) == 0, "what is done stays done"
    assert await officer.gate.call("zones") == []
    with pytest.raises(Denied):
        officer.keyring.unwrap(SURGERY, 1, "any", 1, bytes(60))
    fresh = await enter(ADELE)
    assert len(await found(fresh, "Patient", "family=Deux")) == 1


async def test_rewrapping_changes_nothing_but_the_wraps_of_that_zone_and_epoch(trust: Rig, enter: Enter) -> None:
    officer, adele = await enter(ARNAUD), await enter(ADELE)
    karim = await enter(KARIM)
    await admitted(karim, "Quatre")
    await rotated(officer, SURGERY)
    epoch = officer.keyring.epoch(SURGERY)
    dossier, key_no, was, _ = (await officer.gate.call("wraps_stale", zone=SURGERY, limit=1))[0]
    row = {"dossiers": [dossier], "key_nos": [key_no], "was": [was], "wrapped": [bytes(60)]}

    async def put(**changed: object) -> int:
        return int(await officer.gate.call("wraps_put", **{"zone": SURGERY, "epoch": epoch, **row, **changed}))

    assert await put(zone=CARDIOLOGY, epoch=officer.keyring.epoch(CARDIOLOGY)) == 0, "not a row of that zone"
    assert await put(dossiers=[uuid.uuid4().bytes]) == 0, "no row is added"
    assert await put(was=[was + 5]) == 0
    for wrong in (epoch - 1, epoch + 1):
        with pytest.raises(Conflict):
            await put(epoch=wrong)
    with pytest.raises(CloisterError):
        await put(wrapped=[bytes(61)])
    with pytest.raises(Denied):
        await adele.gate.call("wraps_put", **{"zone": CARDIOLOGY, "epoch": 1, **row})
    assert await rewrapping.rewrap(officer.keyring, officer.gate, SURGERY) >= 1


async def test_two_officers_who_rotate_at_once_make_one_epoch(trust: Rig, enter: Enter) -> None:
    first, second = await enter(ARNAUD), await enter(ROCHE)
    await rotated(first, SURGERY)
    with pytest.raises(Conflict):
        await rotated(second, SURGERY)
    await renewed(second)
    assert first.keyring.epoch(SURGERY) == second.keyring.epoch(SURGERY)


async def test_where_the_past_is_closed_a_new_colleague_never_opens_it(trust: Rig, enter: Enter) -> None:
    officer, adele = await enter(ARNAUD), await enter(ADELE)
    held = next(one for one in adele.keyring.zones if one.zone == STAFF)
    now = system_clock()
    policy = {**held.policy, rotation.PAST: rotation.CLOSED}
    record = epochs.zone_record(
        officer.keyring.signer, trust=officer.keyring.trust_id, zone=STAFF, name=held.name, hospital=held.hospital, ward=held.ward,
        policy=policy, made=now, seq=2,
    )  # fmt: skip
    place = {"zone": STAFF, "hospital": held.hospital, "ward": held.ward, "name": held.name}
    await officer.gate.call("trust_put", objects=[{"kind": "zone", "body": record, **place, "policy": json.dumps(policy)}])
    key = epochs.new_zone_key()
    old = adele.keyring.wrap(STAFF, "d", 1, key)
    await rotated(officer, STAFF)
    await renewed(adele)
    assert adele.keyring.epoch(STAFF) == 2
    assert adele.keyring.unwrap(STAFF, 1, "d", 1, old) == key, "who was there before still has what was hers then"
    now = system_clock()
    terms = {"right": "read", "live_until": now + HOUR, "reason": "New here", "now": now}
    await granting.grant(officer.keyring, officer.gate, zone=STAFF, person=CELINE.id, **terms)  # type: ignore[arg-type]
    celine = await trust.session(CELINE, may_refuse=True)
    assert holds(celine, STAFF)
    with pytest.raises(CloisterError) as refused:
        celine.keyring.unwrap(STAFF, 1, "d", 1, old)
    assert refused.value.reason == Refusal.EPOCH_FLOOR
    celine.close()


async def test_a_team_that_lost_a_member_has_a_new_key_and_so_has_the_ward(trust: Rig, enter: Enter) -> None:
    officer = await enter(ARNAUD)
    now = system_clock()
    team = await teams.create(officer.keyring, officer.gate, name="Cardiology, changing", hospital=HOSPITAL, now=now)
    await renewed(officer)
    await teams.open_zone(
        officer.keyring, officer.gate, team=team, zone=CARDIOLOGY, right="write", live_until=now + HOUR, reason="Ward", now=now
    )
    turns = [teams.Stretch(one.id, now - HOUR, now + HOUR) for one in (CELINE, BRUNO)]
    await teams.add(officer.keyring, officer.gate, team=team, stretches=turns, reason="Ward", now=now)
    zones = await teams.renew(officer.keyring, officer.gate, team=team, without=frozenset({BRUNO.id}), reason="Somebody left", now=now)
    assert zones == [CARDIOLOGY]
    await renewed(officer)
    await rotated(officer, CARDIOLOGY)
    celine, bruno = await trust.session(CELINE, may_refuse=True), await trust.session(BRUNO, may_refuse=True)
    assert holds(celine, CARDIOLOGY)
    assert not holds(bruno, CARDIOLOGY)
    celine.close()
    bruno.close()


def test_a_grant_to_a_team_is_put_as_the_teams() -> None:
    now = system_clock()
    row = objects.grant_row(b"", zone="z", subject="team:t", seq=1, right="read", epoch=1, not_before=now, live_until=now)
    assert row["team"] == "t"
    assert "person" not in row
