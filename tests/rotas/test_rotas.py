"""Teams and rotas over a real store gate: signed beforehand, open on time, closed on time, and nobody else's to change."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from people import admitted, found
from rotas_cast import ADELE, ARNAUD, CARDIOLOGY, CELINE, HOSPITAL, LEMOINE, ROCHE, VASSEUR, Enter, holds, renewed
from store_rig import Rig

from cloister.base.clock import system_clock
from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.offices import teams
from cloister.zones import Refusal

SOON = timedelta(seconds=1.5)
HOUR = timedelta(hours=1)


async def ward_team(officer: object, name: str = "Cardiology, nights") -> str:
    """A team that opens cardiology."""
    now = system_clock()
    session: Any = officer
    team = await teams.create(session.keyring, session.gate, name=name, hospital=HOSPITAL, now=now)
    await renewed(session)
    await teams.open_zone(
        session.keyring, session.gate, team=team, zone=CARDIOLOGY, right="write", live_until=now + 30 * 24 * HOUR, reason="Ward", now=now
    )
    return team


async def test_a_nurse_on_the_rota_opens_the_ward_and_one_who_is_not_does_not(trust: Rig, enter: Enter) -> None:
    officer, doctor = await enter(ARNAUD), await enter(VASSEUR)
    await admitted(doctor, "Perrin")
    team = await ward_team(officer)
    now = system_clock()
    turn = teams.Stretch(CELINE.id, now - timedelta(seconds=5), now + HOUR)
    assert await teams.add(officer.keyring, officer.gate, team=team, stretches=[turn], reason="Night", now=now) == 1
    celine, adele = await enter(CELINE), await enter(ADELE)
    assert holds(celine, CARDIOLOGY)
    assert not holds(adele, CARDIOLOGY)
    assert len(await found(celine, "Patient", "family=Perrin")) == 1
    assert await found(adele, "Patient", "family=Perrin") == []


async def test_a_turn_begins_and_ends_by_itself_while_no_officer_is_there(trust: Rig, enter: Enter) -> None:
    officer = await enter(ARNAUD)
    team = await ward_team(officer, "Cardiology, short")
    now = system_clock()
    start, end = now + SOON, now + SOON + timedelta(seconds=2)
    await teams.add(officer.keyring, officer.gate, team=team, stretches=[teams.Stretch(ADELE.id, start, end)], reason="Turn", now=now)
    adele = await enter(ADELE)
    assert not holds(adele, CARDIOLOGY)
    rows = await adele.gate.call("trust_renewal")
    assert rows["memberships"] == [], "the key of tomorrow stays in the store until tomorrow"
    assert rows["next_start"] is not None
    await asyncio.sleep((start - system_clock()).total_seconds() + 0.05)
    await renewed(adele)
    assert holds(adele, CARDIOLOGY)
    assert adele.keyring.next_end is not None
    assert abs(adele.keyring.next_end - end) < timedelta(seconds=0.01)
    await asyncio.sleep((end - system_clock()).total_seconds() + 0.05)
    assert adele.keyring.close_ended(system_clock()) == [CARDIOLOGY]
    with pytest.raises(Denied):
        adele.keyring.unwrap(CARDIOLOGY, 1, "any", 1, bytes(60))
    await asyncio.sleep(2.1)  # what the gate remembers of her zones
    assert CARDIOLOGY not in await adele.gate.call("zones")


async def test_whoever_is_named_by_a_second_officer_is_a_member_too(trust: Rig, enter: Enter) -> None:
    first = await enter(ARNAUD)
    team = await ward_team(first, "Cardiology, days")
    second, now = await enter(ROCHE), system_clock()
    turn = teams.Stretch(CELINE.id, now - HOUR, now + HOUR)
    await teams.add(second.keyring, second.gate, team=team, stretches=[turn], reason="Day", now=now)
    view = await teams.shown(first.keyring, first.gate, team=team, start=now - HOUR, end=now + HOUR)
    assert [(one.person, one.name) for one in view.turns] == [(CELINE.id, "Celine")]
    assert view.zones[0][0] == CARDIOLOGY


async def test_an_officer_keeps_a_team_and_opens_nothing_through_it(trust: Rig, enter: Enter) -> None:
    officer = await enter(ARNAUD)
    team = await ward_team(officer, "Cardiology, weekends")
    await renewed(officer)
    assert not holds(officer, CARDIOLOGY)
    assert await officer.gate.call("zones") == []
    now = system_clock()
    turn = teams.Stretch(ARNAUD.id, now, now + HOUR)
    with pytest.raises(Denied) as refused:
        await teams.add(officer.keyring, officer.gate, team=team, stretches=[turn], reason="Me", now=now)
    assert refused.value.reason == Refusal.GRANT_SELF


async def test_what_cannot_be_a_turn_is_said_before_anything_is_signed(trust: Rig, enter: Enter) -> None:
    officer = await enter(ARNAUD)
    team = await ward_team(officer, "Cardiology, mistakes")
    now = system_clock()
    wrong = [
        (teams.Stretch(CELINE.id, now, now - HOUR), Invalid),
        (teams.Stretch(CELINE.id, now - 2 * HOUR, now - HOUR), Invalid),
        (teams.Stretch(CELINE.id, now, now + 500 * 24 * HOUR), Invalid),
        (teams.Stretch(LEMOINE.id, now, now + HOUR), Denied),
        (teams.Stretch("p-nobody", now, now + HOUR), CloisterError),
    ]
    for turn, kind in wrong:
        with pytest.raises(kind) as refused:
            await teams.add(officer.keyring, officer.gate, team=team, stretches=[turn], reason="Wrong", now=now)
        assert refused.value.text
    view = await teams.shown(officer.keyring, officer.gate, team=team, start=now, end=now + HOUR)
    assert view.turns == ()


async def test_a_nurse_cannot_change_a_rota_nor_read_it(trust: Rig, enter: Enter) -> None:
    officer, adele = await enter(ARNAUD), await enter(ADELE)
    team = await ward_team(officer, "Cardiology, hers")
    now = system_clock()
    turn = teams.Stretch(CELINE.id, now, now + HOUR)
    with pytest.raises(Denied):
        await teams.add(adele.keyring, adele.gate, team=team, stretches=[turn], reason="Mine", now=now)
    with pytest.raises(Denied):
        await teams.shown(adele.keyring, adele.gate, team=team, start=now, end=now + HOUR)


async def test_a_turn_that_is_ended_early_closes_the_ward(trust: Rig, enter: Enter) -> None:
    officer = await enter(ARNAUD)
    team = await ward_team(officer, "Cardiology, ended")
    now = system_clock()
    await teams.add(officer.keyring, officer.gate, team=team, stretches=[teams.Stretch(CELINE.id, now, now + HOUR)], reason="Day", now=now)
    celine = await enter(CELINE)
    assert holds(celine, CARDIOLOGY)
    view = await teams.shown(officer.keyring, officer.gate, team=team, start=now, end=now + HOUR)
    other = [one for one in celine.keyring.zones if one.zone == CARDIOLOGY and one.team == team]
    assert other or view.turns
    for turn in view.turns:
        await teams.end_turn(officer.keyring, officer.gate, turn=turn.hash, person=turn.person, reason="Ill", now=system_clock())
    await renewed(celine)
    assert all(one.team != team for one in celine.keyring.zones)
