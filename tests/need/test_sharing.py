"""A record goes along with its patient: offered on admission, transfer, referral and consent, taken up by the other ward, ended again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from need_cast import CARDIOLOGY, DELORME, EMERGENCY, FONTAINE, KARIM, TILLEULS, VASSEUR, SignIn
from people import admitted, found, stay, weighed
from store_rig import Rig, Session

from cloister.base.errors import CloisterError, Denied, NotFound
from cloister.records.sharing import wish_of

NOW = datetime.now(UTC)
HOSPITAL, LONG_AGO = {"reference": "Organization/h"}, "2020-01-01T00:00:00Z"


@contextlib.contextmanager
def refused(*reasons: str) -> Iterator[None]:
    with pytest.raises(CloisterError) as caught:
        yield
    assert caught.value.reason in reasons, caught.value.reason


def consent(patient: str, *organizations: str, status: str = "active") -> dict[str, Any]:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleClass", "code": "CST"}]}
    return {
        "resourceType": "Consent",
        "status": status,
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "treatment"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": {
            "type": "permit",
            "actor": [{"role": role, "reference": {"reference": f"Organization/{one}"}} for one in organizations],
        },
    }


def referral(patient: str, place: str, status: str = "active") -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": status,
        "intent": "order",
        "subject": {"reference": f"Patient/{patient}"},
        "locationReference": [{"reference": f"Location/{place}"}],
    }


async def readable(session: Session, patient: str) -> bool:
    try:
        await session.records.read("Patient", patient)
    except NotFound:
        return False
    except Denied as refused:
        if refused.reason != "share-ended":
            raise
        return False
    return True


async def shares(session: Session, patient: str) -> set[tuple[str, str, str]]:
    stored = await session.records.read("Patient", patient)
    return {(row[0], row[2], row[5]) for row in await session.gate.call("shares_of", dossier=stored.dossier)}


async def test_a_transferred_patients_record_is_there_before_the_patient_and_goes_after_the_discharge(sign_in: SignIn) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    patient = await admitted(vasseur, "Lambert", ward=CARDIOLOGY)
    await weighed(vasseur, patient, 80.5)
    assert await shares(vasseur, patient) == set()  # cardiology has it of its own right
    moved = stay(patient, EMERGENCY)
    moved["location"].insert(0, {"location": {"reference": f"Location/{CARDIOLOGY}"}, "status": "completed"})
    written = (await vasseur.records.create(moved)).stored
    assert await shares(vasseur, patient) == {(EMERGENCY, "transfer", "offered")}
    assert not await readable(karim, patient)
    assert await karim.records.take_shares() == 1
    assert await readable(karim, patient)
    assert len(await found(karim, "Patient", "family=Lambert")) == 1
    assert await found(karim, "Encounter", f"location=Location/{EMERGENCY}")
    assert await found(karim, "Observation", f"patient={patient}")
    await weighed(karim, patient, 79.9)  # and writes in it
    assert await shares(karim, patient) == {(EMERGENCY, "transfer", "held")}
    # Discharged today: the policy's 30 days begin.
    ended = {**moved, "id": written.id, "status": "finished", "period": {"start": "2026-11-01T08:00:00Z", "end": NOW.isoformat()}}
    await vasseur.records.update(ended)
    await vasseur.records.take_shares()
    assert await readable(karim, patient)
    # Discharged 40 days ago, as a late entry says.
    await vasseur.records.update({**ended, "period": {"start": "2026-09-01T08:00:00Z", "end": (NOW - timedelta(days=40)).isoformat()}})
    assert await readable(karim, patient)  # the first word stands: the days had begun already


async def test_after_the_policys_days_the_ward_has_the_record_no_more(trust: Rig, sign_in: SignIn) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    patient = await admitted(vasseur, "Perrault")
    moved = stay(patient, EMERGENCY)
    written = (await vasseur.records.create(moved)).stored
    await karim.records.take_shares()
    assert await readable(karim, patient)
    late = (NOW - timedelta(days=40)).isoformat()
    await vasseur.records.update(
        {**moved, "id": written.id, "status": "finished", "period": {"start": "2026-09-01T08:00:00Z", "end": late}}
    )
    await vasseur.records.take_shares()  # in the background, by any session that opens the record
    assert not await readable(karim, patient)
    await karim.records.take_shares()
    assert await found(karim, "Patient", "family=Perrault") == []
    assert await shares(vasseur, patient) == set()
    assert await readable(vasseur, patient)
    # Readmitted: the record comes back.
    await vasseur.records.create(stay(patient, EMERGENCY))
    assert await karim.records.take_shares() == 1
    assert len(await found(karim, "Patient", "family=Perrault")) == 1


async def test_a_consent_shares_with_the_other_hospital_and_its_withdrawal_ends_it_at_once(sign_in: SignIn) -> None:
    vasseur, delorme = (await sign_in(VASSEUR)).session, (await sign_in(DELORME)).session
    patient = await admitted(vasseur, "Chauvin")
    given = (await vasseur.records.create(consent(patient, TILLEULS))).stored
    assert await delorme.records.take_shares() == 1
    assert await readable(delorme, patient)
    await vasseur.records.update({**consent(patient, TILLEULS, status="inactive"), "id": given.id})
    assert not await readable(delorme, patient)


async def test_a_referral_shares_and_a_revoked_one_ends_at_once(sign_in: SignIn) -> None:
    karim, fontaine = (await sign_in(KARIM)).session, (await sign_in(FONTAINE)).session
    patient = await admitted(karim, "Bonnet")
    asked = (await karim.records.create(referral(patient, "saint-roch"))).stored
    assert await fontaine.records.take_shares() == 1
    assert await readable(fontaine, patient)
    await karim.records.delete("ServiceRequest", asked.id)
    assert not await readable(fontaine, patient)


async def test_two_reasons_keep_a_record_until_both_have_ended(sign_in: SignIn) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    patient = await admitted(vasseur, "Colas")
    asked = (await vasseur.records.create(referral(patient, EMERGENCY))).stored
    given = (await vasseur.records.create(consent(patient, EMERGENCY))).stored
    await karim.records.take_shares()
    await vasseur.records.update({**consent(patient, EMERGENCY, status="inactive"), "id": given.id})
    assert await readable(karim, patient)
    await vasseur.records.update({**referral(patient, EMERGENCY, status="revoked"), "id": asked.id})
    assert not await readable(karim, patient)


async def test_a_share_that_was_moved_or_changed_is_refused_and_gives_nothing(trust: Rig, sign_in: SignIn) -> None:
    vasseur, karim, delorme = [(await sign_in(one)).session for one in (VASSEUR, KARIM, DELORME)]
    patient = await admitted(vasseur, "Gillet")
    await vasseur.records.create(referral(patient, EMERGENCY))
    database = await trust.connect()
    dossier = (await vasseur.records.read("Patient", patient)).dossier
    row = await database.fetchrow("select * from care.share where dossier = encode($1, 'hex')::uuid", dossier)
    assert row is not None
    await database.execute(
        "insert into care.share (dossier, zone, resource, reason, giver, state, body) values ($1, $2, $3, $4, $5, 'offered', $6)",
        row["dossier"], TILLEULS, row["resource"], row["reason"], row["giver"], row["body"],
    )  # fmt: skip
    await database.execute(
        "update care.share set body = overlay(body placing '\\x00'::bytea from 500) where zone = $1 and dossier = $2",
        EMERGENCY,
        row["dossier"],
    )
    await database.close()
    assert await delorme.records.take_shares() == 0
    assert await karim.records.take_shares() == 0
    assert not await readable(delorme, patient)
    assert not await readable(karim, patient)
    assert await readable(vasseur, patient)


async def test_a_ward_that_the_database_moves_to_another_zone_is_refused(trust: Rig, sign_in: SignIn) -> None:
    vasseur = (await sign_in(VASSEUR)).session
    patient = await admitted(vasseur, "Hamon")
    database = await trust.connect()
    await database.execute("update trust.ward set zone = $2 where id = $1", EMERGENCY, TILLEULS)
    try:
        with refused("swapped"):
            await vasseur.records.create(referral(patient, EMERGENCY))
    finally:
        await database.execute("update trust.ward set zone = id where id = $1", EMERGENCY)
        await database.close()
    assert await shares(vasseur, patient) == set()


async def test_nobody_shares_or_takes_what_is_not_theirs(sign_in: SignIn) -> None:
    vasseur, karim = (await sign_in(VASSEUR)).session, (await sign_in(KARIM)).session
    dossier = (await vasseur.records.read("Patient", await admitted(vasseur, "Ferry"))).dossier
    one = {"dossier": dossier, "resource": "Encounter/1", "reason": "admission", "zones": [(EMERGENCY, b"x")], "until": NOW.isoformat()}
    with refused("zone-not-held"):
        await karim.gate.call("share_set", shares=[one])
    with refused("share-state"):
        await karim.gate.call("share_take", dossier=dossier, zone=EMERGENCY, epoch=1, key_no=[1], wrapped=[b"x" * 60])
    with refused("zone-not-held"):
        await karim.gate.call("share_take", dossier=dossier, zone=CARDIOLOGY, epoch=1, key_no=[1], wrapped=[b"x" * 60])
    assert await karim.gate.call("shares_of", dossier=dossier) == []


@pytest.mark.parametrize(
    ("type", "resource", "places", "delay"),
    [
        ("Encounter", {"status": "planned", "location": [{"location": {"reference": "Location/a"}}]}, set(), True),
        ("Encounter", {"status": "in-progress", "location": [{"location": {"reference": "Location/a"}}]}, {"Location/a"}, True),
        ("Encounter", {"status": "entered-in-error", "location": [{"location": {"reference": "Location/a"}}]}, set(), False),
        ("ServiceRequest", {"status": "completed", "performer": [{"reference": "Organization/h"}]}, set(), True),
        ("ServiceRequest", {"status": "active", "performer": [{"reference": "Practitioner/p"}, HOSPITAL]}, {"Organization/h"}, True),
        ("Consent", {"status": "active", "provision": {"type": "deny", "actor": [{"reference": HOSPITAL}]}}, set(), False),
        ("Consent", {"status": "active", "provision": {"period": {"end": LONG_AGO}, "actor": [{"reference": HOSPITAL}]}}, set(), False),
        ("Consent", None, set(), False),
    ],
)  # fmt: skip
def test_what_a_stay_a_referral_and_a_consent_ask_for(type: str, resource: dict[str, Any] | None, places: set[str], delay: bool) -> None:
    wish = wish_of(type, resource, NOW)
    assert (set(wish.places), wish.delay) == (places, delay)
