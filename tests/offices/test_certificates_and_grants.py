"""Two offices at work: one says whose keys these are, the other who may open what, and neither can do the other's part."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from offices_cast import ARNAUD, BESSON, LEMOINE, ROCHE, House
from store_rig import ADELE, CARDIOLOGY, COLIN, DELORME, SURGERY, TILLEULS, VASSEUR

from cloister.base.errors import CloisterError, Conflict, Denied, Invalid
from cloister.offices import certifying, granting
from cloister.zones import Refusal, envelope, revocations

PASSPHRASE = "bouleau-vitrail-compas-orage"


async def test_an_access_officer_grants_a_nurse_a_ward_and_takes_it_back(trust: House) -> None:
    arnaud = await trust.sit(ARNAUD)
    hashed = await granting.grant(
        arnaud.keyring,
        arnaud.gate,
        zone=SURGERY,
        person=ADELE.id,
        right="read",
        live_until=arnaud.until,
        reason="Helps out",
        now=arnaud.now,
    )
    adele = await trust.sit(ADELE)
    assert adele.keyring.refused == []
    assert adele.keyring.can(SURGERY, "read")
    assert not adele.keyring.can(SURGERY, "write")
    await granting.end_grant(arnaud.keyring, arnaud.gate, target=hashed, person=ADELE.id, reason="Back to her ward", now=arnaud.now)
    adele = await trust.sit(ADELE)
    assert not adele.keyring.can(SURGERY, "read")
    assert (hashed.hex(), Refusal.GRANT_REVOKED) in adele.keyring.refused


async def test_a_changed_right_is_a_new_grant_in_the_chain_and_the_old_one_counts_no_more(trust: House) -> None:
    arnaud, roche = await trust.sit(ARNAUD), await trust.sit(ROCHE)
    terms = {"zone": SURGERY, "person": VASSEUR.id, "live_until": arnaud.until, "reason": "On call"}
    first = await granting.grant(arnaud.keyring, arnaud.gate, right="write", now=arnaud.now, **terms)
    await granting.grant(roche.keyring, roche.gate, right="read", now=roche.now, **terms)
    vasseur = await trust.sit(VASSEUR)
    assert vasseur.keyring.can(SURGERY, "read")
    assert not vasseur.keyring.can(SURGERY, "write")
    row = next(one for one in await granting.all_grants(roche.keyring, roche.gate, SURGERY, roche.now) if one["person"] == VASSEUR.id)
    assert envelope.peek_body(bytes(row["body"]))["previous"] == first


async def test_a_revocation_still_holds_when_the_database_has_forgotten_it(trust: House) -> None:
    arnaud = await trust.sit(ARNAUD)
    terms = {"zone": TILLEULS, "person": ADELE.id, "right": "read", "live_until": arnaud.until, "reason": "By mistake"}
    hashed = await granting.grant(arnaud.keyring, arnaud.gate, now=arnaud.now, **terms)
    await granting.end_grant(arnaud.keyring, arnaud.gate, target=hashed, person=ADELE.id, reason="Was a mistake", now=arnaud.now)
    administrator = await trust.rig.connect()
    await administrator.execute('update trust."grant" set revoked = null where hash = $1', hashed)
    adele = await trust.sit(ADELE)
    assert not adele.keyring.can(TILLEULS, "read")
    await administrator.execute('update trust."grant" set revoked = now() where hash = $1', hashed)
    await administrator.close()


async def test_nobody_grants_to_oneself_and_an_officer_reads_nothing(trust: House) -> None:
    arnaud, roche = await trust.sit(ARNAUD), await trust.sit(ROCHE)
    terms = {"zone": SURGERY, "live_until": arnaud.until, "reason": "Curious", "now": arnaud.now}
    with pytest.raises(Denied) as oneself:
        await granting.grant(arnaud.keyring, arnaud.gate, person=ARNAUD.id, right="read", **terms)
    assert oneself.value.reason == Refusal.GRANT_SELF
    with pytest.raises(Denied) as colleague:
        await granting.grant(roche.keyring, roche.gate, person=ARNAUD.id, right="read", **terms)
    assert colleague.value.reason == "right-of-another-role"
    with pytest.raises(Denied) as certifier:
        await granting.grant(arnaud.keyring, arnaud.gate, person=LEMOINE.id, right="read", **terms)
    assert certifier.value.reason == Refusal.BOTH_OFFICES
    with pytest.raises(Denied):
        await granting.grant(arnaud.keyring, arnaud.gate, person=COLIN.id, right="read", **terms)


@pytest.mark.parametrize("change", [{"reason": " "}, {"days": -1}, {"days": 4000}])
async def test_a_grant_without_reason_or_with_a_term_that_cannot_be_is_refused(trust: House, change: dict[str, object]) -> None:
    arnaud = await trust.sit(ARNAUD)
    until = arnaud.now + timedelta(days=int(str(change.get("days", 30))))
    with pytest.raises(Invalid):
        await granting.grant(
            arnaud.keyring, arnaud.gate, zone=SURGERY, person=ADELE.id, right="read", live_until=until,
            reason=str(change.get("reason", "Helps out")), now=arnaud.now,
        )  # fmt: skip


async def test_each_office_is_refused_the_other_s_part_by_the_gate_too(trust: House) -> None:
    lemoine, arnaud, adele = await trust.sit(LEMOINE), await trust.sit(ARNAUD), await trust.sit(ADELE)
    ending = granting.revoked(arnaud.keyring, "grant", bytes(32), None, "No reason", arnaud.now)
    certificate = granting.revoked(lemoine.keyring, "certificate", bytes(32), None, "No reason", lemoine.now)
    for seat, one in ((lemoine, ending), (adele, ending), (arnaud, certificate), (adele, certificate)):
        with pytest.raises(Denied) as refused:
            await seat.gate.call("trust_put", objects=[one])
        assert refused.value.reason == "other-office"
    for seat in (adele,):
        with pytest.raises(Denied):
            await seat.gate.call("office_people")
    with pytest.raises(Denied):
        await arnaud.gate.call("applicants")


async def test_a_certificate_officer_s_word_ends_no_grant_whoever_stores_it(trust: House) -> None:
    arnaud, lemoine = await trust.sit(ARNAUD), await trust.sit(LEMOINE)
    adele = await trust.sit(ADELE)
    assert adele.keyring.can(CARDIOLOGY, "read")
    administrator = await trust.rig.connect()
    target = await administrator.fetchval(
        'select hash from trust."grant" where person = $1 and zone = $2 order by seq', ADELE.id, CARDIOLOGY
    )
    forged = granting.revoked(lemoine.keyring, "grant", target, ADELE.id, "IT would like it", lemoine.now)
    mine = await administrator.fetchval("select certificate from trust.identity where person = $1", ADELE.id)
    other = granting.revoked(arnaud.keyring, "certificate", mine, ADELE.id, "So would medical", arnaud.now)
    for one, kind in ((forged, "grant"), (other, "certificate")):
        await administrator.execute(
            "insert into trust.revocation (hash, kind, target, body) values ($1, $2, $3, $4)",
            envelope.digest(one["body"]), kind, one["target"], one["body"],
        )  # fmt: skip
    assert (await trust.sit(ADELE)).keyring.can(CARDIOLOGY, "read")
    await administrator.execute("delete from trust.revocation where body = any ($1)", [forged["body"], other["body"]])
    await administrator.close()


async def test_a_new_zone_is_kept_by_the_other_officer_who_grants_it_back(trust: House) -> None:
    arnaud, roche = await trust.sit(ARNAUD), await trust.sit(ROCHE)
    kept = await granting.create_zone(
        arnaud.keyring, arnaud.gate, zone="saint-roch-staff", name="Staff as patients", hospital="saint-roch", ward=None,
        policy={"compartment": "normal", "code_tokens": False}, now=arnaud.now, live_until=arnaud.until,
    )  # fmt: skip
    assert kept == [ROCHE.name]
    assert "saint-roch-staff" not in {one.zone for one in (await trust.sit(ARNAUD)).keyring.zones}
    roche = await trust.sit(ROCHE)
    await granting.grant(
        roche.keyring, roche.gate, zone="saint-roch-staff", person=ARNAUD.id, right="hold", live_until=roche.until, reason="Second keeper",
        now=roche.now,
    )  # fmt: skip
    arnaud = await trust.sit(ARNAUD)
    assert "saint-roch-staff" in {one.zone for one in arnaud.keyring.zones}
    with pytest.raises(Conflict):
        await granting.create_zone(
            arnaud.keyring, arnaud.gate, zone="saint-roch-staff", name="Again", hospital="saint-roch", ward=None, policy={}, now=arnaud.now,
            live_until=arnaud.until,
        )  # fmt: skip


async def test_a_zone_that_asks_for_two_officers_opens_only_when_both_have_signed(trust: House) -> None:
    arnaud, roche = await trust.sit(ARNAUD), await trust.sit(ROCHE)
    await granting.create_zone(
        roche.keyring, roche.gate, zone="sainte-anne-closed", name="Closed unit", hospital="sainte-anne", ward=None,
        policy={"compartment": "psychiatry", revocations.TWO_OFFICERS: True}, now=roche.now, live_until=roche.until,
    )  # fmt: skip
    assert "sainte-anne-closed" not in {one.zone for one in (await trust.sit(ARNAUD)).keyring.zones}
    administrator = await trust.rig.connect()
    body = await administrator.fetchval("""select body from trust."grant" where zone = 'sainte-anne-closed'""")
    with pytest.raises(Denied):  # the first signature is no second, and neither is that of the person granted to
        await granting.countersign(roche.keyring, roche.gate, body=body, now=roche.now)
    with pytest.raises(Denied):
        await granting.countersign(arnaud.keyring, arnaud.gate, body=body, now=arnaud.now)
    await administrator.close()


async def test_two_officers_are_asked_for_only_when_nobody_would_lose_the_zone(trust: House) -> None:
    arnaud, roche = await trust.sit(ARNAUD), await trust.sit(ROCHE)
    with pytest.raises(Conflict) as lacking:
        await granting.set_policy(arnaud.keyring, arnaud.gate, zone=TILLEULS, changes={revocations.TWO_OFFICERS: True}, now=arnaud.now)
    assert lacking.value.reason == "grants-lack-second"
    for row in await granting.all_grants(arnaud.keyring, arnaud.gate, TILLEULS, arnaud.now):
        if not row["root"]:
            await granting.countersign(roche.keyring, roche.gate, body=bytes(row["body"]), now=roche.now)
    await granting.set_policy(arnaud.keyring, arnaud.gate, zone=TILLEULS, changes={revocations.TWO_OFFICERS: True}, now=arnaud.now)
    delorme = await trust.sit(DELORME)
    assert delorme.keyring.can(TILLEULS, "write"), delorme.keyring.refused
    terms = {"zone": TILLEULS, "person": VASSEUR.id, "right": "read", "live_until": arnaud.until, "reason": "Opinion asked"}
    hashed = await granting.grant(arnaud.keyring, arnaud.gate, now=arnaud.now, **terms)
    vasseur = await trust.sit(VASSEUR)
    assert (hashed.hex(), Refusal.GRANT_ONE_OFFICER) in vasseur.keyring.refused
    (row,) = [one for one in await granting.all_grants(roche.keyring, roche.gate, TILLEULS, roche.now) if one["person"] == VASSEUR.id]
    await granting.countersign(roche.keyring, roche.gate, body=bytes(row["body"]), now=roche.now)
    assert (await trust.sit(VASSEUR)).keyring.can(TILLEULS, "read")
    await granting.set_policy(arnaud.keyring, arnaud.gate, zone=TILLEULS, changes={revocations.TWO_OFFICERS: False}, now=arnaud.now)


async def test_a_new_nurse_brings_keys_is_compared_certified_and_opens_only_what_is_granted(trust: House) -> None:
    lemoine, arnaud = await trust.sit(LEMOINE), await trust.sit(ARNAUD)
    made = await certifying.register(lemoine.gate, sign_in_name="Nina.Roux", name="Nina Roux", role="nurse", hospital="saint-roch")
    assert made.code not in repr(made)
    with pytest.raises(Conflict):  # nothing to certify yet
        await certifying.certify(lemoine.keyring, lemoine.gate, applicant=made.applicant, words="", now=lemoine.now)
    words = await trust.apply(made.applicant, PASSPHRASE)
    with pytest.raises(Denied) as differs:
        await certifying.certify(lemoine.keyring, lemoine.gate, applicant=made.applicant, words="acorn " * 7, now=lemoine.now)
    assert differs.value.reason == "fingerprint"
    person = await certifying.certify(lemoine.keyring, lemoine.gate, applicant=made.applicant, words=words.upper(), now=lemoine.now)
    nina = replace(ADELE, id=person, sign_in="nina.roux", name="Nina Roux")
    seat = await trust.sit(nina, PASSPHRASE)
    assert seat.keyring.zones == []
    await granting.grant(
        arnaud.keyring, arnaud.gate, zone=CARDIOLOGY, person=person, right="write", live_until=arnaud.until, reason="New on the ward",
        now=arnaud.now,
    )  # fmt: skip
    assert (await trust.sit(nina, PASSPHRASE)).keyring.can(CARDIOLOGY, "write")


async def test_whoever_lost_everything_gets_new_keys_and_the_old_ones_open_nothing(trust: House) -> None:
    lemoine, arnaud, roche = await trust.sit(LEMOINE), await trust.sit(ARNAUD), await trust.sit(ROCHE)
    before = await trust.sit(DELORME)
    assert before.keyring.can(TILLEULS, "write")
    made = await certifying.register_again(lemoine.gate, person=DELORME.id)
    words = await trust.apply(made.applicant, PASSPHRASE)
    assert (await trust.sit(DELORME)).keyring.can(TILLEULS, "write"), "until the officer has compared, nothing has changed"
    await certifying.certify(lemoine.keyring, lemoine.gate, applicant=made.applicant, words=words, now=lemoine.now)
    after = await trust.sit(DELORME, PASSPHRASE)
    assert after.keyring.zones == [], "an administrator's reset alone opens nothing"
    assert Refusal.GRANT_CERTIFICATE_MISMATCH in {reason for _, reason in after.keyring.refused}
    assert await granting.renew_grants(arnaud.keyring, arnaud.gate, person=DELORME.id, now=arnaud.now) > 0
    for row in await granting.all_grants(roche.keyring, roche.gate, TILLEULS, roche.now):
        if row["person"] == DELORME.id:
            await granting.countersign(roche.keyring, roche.gate, body=bytes(row["body"]), now=roche.now)
    assert (await trust.sit(DELORME, PASSPHRASE)).keyring.can(TILLEULS, "write")


async def test_a_certificate_is_renewed_before_its_end_and_the_grants_follow(trust: House) -> None:
    besson, arnaud = await trust.sit(BESSON), await trust.sit(ARNAUD)
    await certifying.renew(besson.keyring, besson.gate, person=VASSEUR.id, now=besson.now)
    assert (await trust.sit(VASSEUR)).keyring.can(CARDIOLOGY, "write"), "the old certificate still holds"
    assert await granting.renew_grants(arnaud.keyring, arnaud.gate, person=VASSEUR.id, now=arnaud.now) >= 2
    assert (await trust.sit(VASSEUR)).keyring.can(CARDIOLOGY, "write")
    with pytest.raises(Denied):
        await certifying.renew(besson.keyring, besson.gate, person=LEMOINE.id, now=besson.now)


async def test_a_revoked_certificate_ends_everything_it_opened(trust: House) -> None:
    lemoine, besson = await trust.sit(LEMOINE), await trust.sit(BESSON)
    made = await certifying.register(lemoine.gate, sign_in_name="paul.leroy", name="Paul Leroy", role="nurse", hospital="saint-roch")
    words = await trust.apply(made.applicant, PASSPHRASE)
    person = await certifying.certify(lemoine.keyring, lemoine.gate, applicant=made.applicant, words=words, now=lemoine.now)
    paul = replace(ADELE, id=person, sign_in="paul.leroy", name="Paul Leroy")
    await trust.sit(paul, PASSPHRASE)
    assert await certifying.revoke(besson.keyring, besson.gate, person=person, reason="Left the trust", now=besson.now) == 1
    with pytest.raises(CloisterError) as refused:
        await trust.sit(paul, PASSPHRASE)
    assert refused.value.reason == Refusal.CERTIFICATE_REVOKED
    with pytest.raises(Denied):
        await certifying.revoke(besson.keyring, besson.gate, person=BESSON.id, reason="Oneself", now=besson.now)


async def test_keys_that_were_exchanged_on_the_way_have_other_words_and_a_wrong_proof_is_refused(trust: House) -> None:
    lemoine = await trust.sit(LEMOINE)
    made = await certifying.register(lemoine.gate, sign_in_name="iris.blanc", name="Iris Blanc", role="nurse", hospital="saint-roch")
    other = base64.b64encode(bytes(32)).decode()
    with pytest.raises(Invalid):
        await trust.apply(made.applicant, PASSPHRASE, tamper={"sign_public": other})
    with pytest.raises(Invalid):
        await trust.apply(made.applicant, PASSPHRASE, tamper={"unlockers": []})
    heard = await trust.apply(made.applicant, PASSPHRASE)
    administrator = await trust.rig.connect()  # puts an application of its own in place of hers
    await administrator.execute("update trust.applicant set state = 'open' where id = $1", made.applicant)
    await trust.apply(made.applicant, "administrator-knows-this")
    await administrator.close()
    with pytest.raises(Denied) as differs:
        await certifying.certify(lemoine.keyring, lemoine.gate, applicant=made.applicant, words=heard, now=lemoine.now)
    assert differs.value.reason == "fingerprint"


async def test_a_code_is_read_as_it_was_meant() -> None:
    code = certifying.new_code()
    assert certifying.code_hash(code) == certifying.code_hash(code.lower().replace("-", " "))
    assert certifying.code_hash("O1L-I0") == certifying.code_hash("011 10")
    assert certifying.code_hash(code) != certifying.code_hash(certifying.new_code())


async def test_a_name_that_is_taken_or_waiting_is_said_so(trust: House) -> None:
    lemoine = await trust.sit(LEMOINE)
    with pytest.raises(Conflict) as taken:
        await certifying.register(lemoine.gate, sign_in_name=ADELE.sign_in, name="Another", role="nurse", hospital="saint-roch")
    assert taken.value.reason == "sign-in-taken"
    first = await certifying.register(lemoine.gate, sign_in_name="lou.petit", name="Lou Petit", role="doctor", hospital="saint-roch")
    with pytest.raises(Conflict) as waiting:
        await certifying.register(lemoine.gate, sign_in_name="lou.petit", name="Lou Petit", role="doctor", hospital="saint-roch")
    assert waiting.value.reason == "applicant-waiting"
    await lemoine.gate.call("applicant_withdraw", id=first.applicant)
    await certifying.register(lemoine.gate, sign_in_name="lou.petit", name="Lou Petit", role="doctor", hospital="saint-roch")
