"""Break-glass between real sessions over a real store gate: with nobody, one or two who must agree, and everything that must fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from audit_rig import opened_log
from need_cast import (
    ADELE,
    ARNAUD,
    CARDIOLOGY,
    DELORME,
    EMERGENCY,
    FONTAINE,
    GARNIER,
    GUERIN,
    KARIM,
    LECLERC,
    REASON,
    TILLEULS,
    VASSEUR,
    AtWork,
    SignIn,
)
from people import admitted, found
from store_rig import Rig

from cloister.base.errors import CloisterError, Conflict, Denied, Invalid
from cloister.offices import glass


@contextlib.contextmanager
def refused(*reasons: str) -> Iterator[None]:
    with pytest.raises(CloisterError) as caught:
        yield
    assert caught.value.reason in reasons, caught.value.reason


def holds(one: AtWork, zone: str) -> bool:
    return zone in {held.zone for held in one.session.keyring.zones}


async def openings_of(trust: Rig, request: str) -> int:
    database = await trust.connect()
    count = await database.fetchval("select count(*) from trust.opening where request = $1", request)
    await database.close()
    return int(count)


async def test_a_doctor_opens_the_emergency_ward_at_once_and_sees_its_patient(trust: Rig, sign_in: SignIn) -> None:
    karim, fontaine = await sign_in(KARIM), await sign_in(VASSEUR)
    await admitted(karim.session, "Berger")
    assert await found(fontaine.session, "Patient", "family=Berger") == []
    request = await fontaine.glass.ask(EMERGENCY, "life-threat", REASON)
    assert fontaine.glass.openings[request].zone == EMERGENCY
    assert len(await found(fontaine.session, "Patient", "family=Berger")) == 1
    await fontaine.glass.end(request)
    assert not holds(fontaine, EMERGENCY)
    assert await found(fontaine.session, "Patient", "family=Berger") == []


async def test_one_colleague_agrees_in_her_own_session_and_only_then_does_the_ward_open(sign_in: SignIn) -> None:
    fontaine, vasseur = await sign_in(FONTAINE), await sign_in(VASSEUR)
    request = await fontaine.glass.ask(CARDIOLOGY, "no-colleague", REASON)
    with refused("approvals-missing"):
        await fontaine.glass.open(request)
    (waiting,) = [one for one in await vasseur.glass.waiting() if one.request == request]
    assert (waiting.name, waiting.reason, waiting.code, waiting.answered) == ("Fontaine", REASON, "no-colleague", False)
    assert (await vasseur.session.gate.call("glass_badge"))[0] >= 1
    await vasseur.glass.approve(request)
    (asked,) = [one for one in await fontaine.glass.asked() if one.request == request]
    assert asked.approved == ("Vasseur",)
    assert asked.here
    opened = await fontaine.glass.open(request)
    assert (opened.zone, holds(fontaine, CARDIOLOGY)) == (CARDIOLOGY, True)
    assert not fontaine.session.keyring.can(CARDIOLOGY, "write")  # the policy says read
    assert timedelta(seconds=590) < opened.until - fontaine.glass.clock() <= timedelta(seconds=600)


async def test_psychiatry_opens_with_any_two_of_its_three_doctors(trust: Rig, sign_in: SignIn) -> None:
    garnier, delorme, guerin = await sign_in(GARNIER), await sign_in(DELORME), await sign_in(GUERIN)
    await admitted(delorme.session, "Marchand")
    request = await garnier.glass.ask(TILLEULS, "transfer", REASON)
    await guerin.glass.approve(request)
    with refused("approvals-missing"):
        await garnier.glass.open(request)
    await delorme.glass.approve(request)
    await garnier.glass.open(request)
    assert len(await found(garnier.session, "Patient", "family=Marchand")) == 1


async def test_the_same_colleague_twice_is_one_colleague(trust: Rig, sign_in: SignIn) -> None:
    garnier, delorme = await sign_in(GARNIER), await sign_in(DELORME)
    request = await garnier.glass.ask(TILLEULS, "transfer", REASON)
    await delorme.glass.approve(request)
    await delorme.glass.approve(request)
    with refused("approvals-missing"):
        await garnier.glass.open(request)
    assert await openings_of(trust, request) == 0


async def test_nobody_agrees_to_ones_own_request_and_no_outsider_to_any(sign_in: SignIn) -> None:
    vasseur, adele, fontaine = await sign_in(VASSEUR), await sign_in(ADELE), await sign_in(FONTAINE)
    own = await fontaine.glass.ask(CARDIOLOGY, "other", REASON)
    with refused("glass-self"):
        await fontaine.glass.approve(own)
    with refused("request"):
        await adele.glass.approve(own)  # she is of the ward, and not named by its policy
    with refused("glass-not-offered"):
        await adele.glass.ask(TILLEULS, "other", REASON)
    with refused("glass-not-offered"):
        await vasseur.glass.ask(CARDIOLOGY, "other", REASON)
    with refused("request-closed"):
        await adele.session.gate.call("glass_part", request=own)


async def test_what_was_released_opens_nothing_in_another_session_of_the_same_person(trust: Rig, sign_in: SignIn) -> None:
    first, second, vasseur = await sign_in(FONTAINE), await sign_in(FONTAINE), await sign_in(VASSEUR)
    request = await first.glass.ask(CARDIOLOGY, "other", REASON)
    await vasseur.glass.approve(request)
    with refused("other-session"):
        await second.glass.open(request)
    with refused("approvals-missing"):  # the gate knows which session asked
        await second.session.gate.call("glass_open", request=request)
    # Even with the request moved to it by the administrator, the second session lacks the key that was answered to.
    other = await second.glass.ask(CARDIOLOGY, "other", REASON)
    database = await trust.connect()
    await database.execute(
        "insert into trust.request_part select $2, 0, person, kind, body, made from trust.request_part where request = $1", request, other
    )
    await database.close()
    with refused("approvals-missing"):
        await second.glass.open(other)
    assert not holds(second, CARDIOLOGY)
    await first.glass.open(request)


async def test_a_tampered_part_is_named_and_a_good_one_beside_it_still_counts(trust: Rig, sign_in: SignIn) -> None:
    garnier, delorme, guerin = await sign_in(GARNIER), await sign_in(DELORME), await sign_in(GUERIN)
    request = await garnier.glass.ask(TILLEULS, "transfer", REASON)
    await delorme.glass.approve(request)
    await guerin.glass.approve(request)
    database = await trust.connect()
    await database.execute(
        "update trust.request_part set body = overlay(body placing '\\x00'::bytea from 300) where request = $1 and person = $2",
        request,
        DELORME.id,
    )
    await database.close()
    (asked,) = [one for one in await garnier.glass.asked() if one.request == request]
    assert asked.approved == ("Guerin",)
    with refused("approvals-missing"):
        await garnier.glass.open(request)
    assert not holds(garnier, TILLEULS)


async def test_a_row_that_the_administrator_writes_gives_no_key(trust: Rig, sign_in: SignIn) -> None:
    fontaine, vasseur, officer = await sign_in(FONTAINE), await sign_in(VASSEUR), await sign_in(ARNAUD)
    request = await fontaine.glass.ask(CARDIOLOGY, "other", REASON)
    database = await trust.connect()
    await database.execute("insert into trust.request_part values ($1, 0, $2, 'approval', 'forged')", request, VASSEUR.id)
    await database.close()
    with refused("approvals-missing"):
        await fontaine.glass.open(request)  # the gate counts the forged row; the keys are still not there
    assert not holds(fontaine, CARDIOLOGY)
    seen = {one.request: one for one in await glass.looked(officer.session.keyring, officer.session.gate, datetime.now(UTC))}
    assert seen[request].live is False  # and it is on the officer's list, ended
    assert vasseur.glass.openings == {}


async def test_a_policy_that_the_administrator_rewrites_convinces_no_colleague(trust: Rig, sign_in: SignIn) -> None:
    """The column says that Karim may ask; the signed record does not."""
    karim = await sign_in(KARIM)
    database = await trust.connect()
    await database.execute("update trust.zone set policy = jsonb_set(policy, '{glass,askers,p-karim}', '\"00\"') where id = $1", CARDIOLOGY)
    try:
        with refused("glass-not-offered"):
            await karim.glass.ask(CARDIOLOGY, "other", REASON)
    finally:
        await database.execute("update trust.zone set policy = policy #- '{glass,askers,p-karim}' where id = $1", CARDIOLOGY)
        await database.close()


async def test_an_opening_ends_on_time_by_itself(trust: Rig, sign_in: SignIn) -> None:
    vasseur = await sign_in(VASSEUR)
    request = await vasseur.glass.ask(EMERGENCY, "life-threat", REASON)
    database = await trust.connect()
    await database.execute("update trust.opening set until = now() + interval '1 second' where request = $1", request)
    await database.close()
    async with asyncio.timeout(5):
        while vasseur.glass.openings:
            await asyncio.sleep(0.1)
    assert not holds(vasseur, EMERGENCY)
    with pytest.raises(Denied):
        await vasseur.glass.open(request)


async def test_an_officer_ends_an_opening_within_five_seconds_and_reviews_it(sign_in: SignIn) -> None:
    fontaine, vasseur, officer = await sign_in(FONTAINE), await sign_in(LECLERC), await sign_in(ARNAUD)
    before = (await officer.session.gate.call("glass_badge"))[1]
    request = await fontaine.glass.ask(CARDIOLOGY, "patient-asks", REASON)
    await vasseur.glass.approve(request)
    await fontaine.glass.open(request)
    keyring, gate = officer.session.keyring, officer.session.gate
    assert (await gate.call("glass_badge"))[1] == before + 1
    seen = {one.request: one for one in await glass.looked(keyring, gate, datetime.now(UTC))}[request]
    assert (seen.live, seen.reason, seen.approvers, seen.problem) == (True, REASON, ("Leclerc",), "")
    with refused("not-reviewable"):
        await glass.review(keyring, gate, request, "justified", officer.glass.clock())
    await gate.call("glass_end", request=request)
    async with asyncio.timeout(5):
        while fontaine.glass.openings:
            await asyncio.sleep(0.1)
    assert not holds(fontaine, CARDIOLOGY)
    await glass.review(keyring, gate, request, "unclear", officer.glass.clock())
    assert request not in {one.request for one in await glass.looked(keyring, gate, datetime.now(UTC))}
    kept = {one.request: one for one in await glass.looked(keyring, gate, datetime.now(UTC), reviewed=True)}[request]
    assert (kept.verdict, kept.reviewer) == ("unclear", "Arnaud")
    with pytest.raises(Conflict):
        await gate.call("glass_end", request=request)
    with refused("other-office"):
        await vasseur.session.gate.call("glass_review", request=request, review=b"x")


async def test_signing_out_ends_what_was_open(trust: Rig, sign_in: SignIn) -> None:
    vasseur = await sign_in(VASSEUR)
    request = await vasseur.glass.ask(EMERGENCY, "life-threat", REASON)
    vasseur.glass.close()
    assert not holds(vasseur, EMERGENCY)
    database = await trust.connect()
    async with asyncio.timeout(5):
        while await database.fetchval("select ended from trust.opening where request = $1", request) is None:
            await asyncio.sleep(0.05)
    await database.close()


async def test_a_reason_is_required_and_is_never_in_clear_in_the_database(trust: Rig, sign_in: SignIn) -> None:
    fontaine = await sign_in(FONTAINE)
    with pytest.raises(Invalid):
        await fontaine.glass.ask(CARDIOLOGY, "other", "why")
    with pytest.raises(Invalid):
        await fontaine.glass.ask(CARDIOLOGY, "because", REASON)
    request = await fontaine.glass.ask(CARDIOLOGY, "other", REASON)
    database = await trust.connect()
    body = await database.fetchval("select body from trust.request where id = $1", request)
    await database.close()
    assert b"allergy" not in body
    assert len(body) < 64 * 1024


async def test_every_entry_made_while_a_zone_is_open_in_need_carries_the_requests_number(trust: Rig, sign_in: SignIn) -> None:
    karim, vasseur = await sign_in(KARIM), await sign_in(VASSEUR)
    patient = await admitted(karim.session, "Nguyen")
    request = await vasseur.glass.ask(EMERGENCY, "life-threat", REASON)
    await vasseur.session.records.read("Patient", patient)
    await vasseur.glass.end(request)
    await asyncio.sleep(0.3)
    await found(vasseur.session, "Patient", "family=Nguyen")
    database = await trust.connect()
    log = [entry for _, entry in await opened_log(database, trust.trust.trust_id) if entry.session == vasseur.session.actor.session]
    await database.close()
    marks = [(entry.action, f"need {request}" in entry.reason) for entry in log]
    assert ("glass-open", True) in marks
    assert ("read", True) in marks
    assert ("glass-end", True) in marks
    assert marks[-1] == ("search", False)  # afterwards no more
    assert [entry.reason for entry in log if entry.action == "glass-ask"] == ["life-threat"]
