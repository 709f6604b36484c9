"""Vectors of what people say and sign: break-glass letters (section 21), words on a restored database (14.6). Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, NOW, TRUST, ZONE, case, flipped, key, ms, refused, resigned, signature_cases

from cloister.offices import glass_letters as letters
from cloister.zones import Keyring, Refusal, algorithms, envelope, epochs, glass, restores

SHA = algorithms.sha256
DOCTOR_SEED, ACCESS_SEED, OFFICER_SEED = key(8), key(24), key(22)
EPHEMERAL_SEED = key(70)
OFFICER = Keyring.open(bundle=CAST.access, trust=CAST.roots, material=CAST.material(), now=NOW)
WHY = "A patient of ours was brought here unconscious"
LETTER = letters.letter(
    CAST.keyring(),
    zone=ZONE,
    session="session-1",
    ephemeral=algorithms.KemPrivate(EPHEMERAL_SEED).public,
    code="transfer",
    reason=WHY,
    told={"access-officer": CAST.access.kem_public},
    now=NOW,
)


def cases() -> list[dict[str, Any]]:
    return [*requests(), *approvals(), *reviews(), *restored()]


def given(blob: bytes, **changed: Any) -> dict[str, Any]:
    return {**CAST.roots_given(), "certificates": CAST.certificates(), "mandates": CAST.mandates, "now": ms(NOW), "blob": blob, **changed}


def requests() -> list[dict[str, Any]]:
    base = given(LETTER, person="access-officer", kem_seed=key(23))
    body = envelope.peek_body(LETTER)
    says = {
        "zone": ZONE, "person": "doctor", "session": "session-1", "ephemeral": body["ephemeral"], "code": "transfer", "at": ms(NOW),
        "reason": WHY,
    }  # fmt: skip
    wrong = {
        "another code": (Refusal.MALFORMED, resigned(LETTER, DOCTOR_SEED, code="curiosity")),
        "a short key": (Refusal.MALFORMED, resigned(LETTER, DOCTOR_SEED, ephemeral=body["ephemeral"][:-1])),
        "keys that are no bytes": (Refusal.MALFORMED, resigned(LETTER, DOCTOR_SEED, keys={"access-officer": "x"})),
        "moved to another zone": (Refusal.TAG, resigned(LETTER, DOCTOR_SEED, zone="zone-2")),
        "in another session": (Refusal.TAG, resigned(LETTER, DOCTOR_SEED, session="session-2")),
        "a changed reason": (Refusal.TAG, resigned(LETTER, DOCTOR_SEED, reason=flipped(body["reason"]))),
    }
    untold = {**base, "person": "certificate-officer", "kem_seed": key(21)}
    return [
        case("a request that the officer reads", "glass-request", base, says),
        case("a request that is not for this reader", "glass-request", untold, {**says, "reason": None}),
        *signature_cases("glass-request", base, "blob", LETTER, DOCTOR_SEED),
        *(refused(f"glass-request: {what}", "glass-request", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
        refused(
            "glass-request: the asker's certificate has ended", "glass-request", Refusal.CERTIFICATE_EXPIRED,
            {**base, "now": ms(NOW + 366 * DAY)},
        ),
    ]  # fmt: skip


def part_of_officer() -> glass.GlassPart:
    doctor, officer = SHA(CAST.doctor_der).hex(), SHA(CAST.access_der).hex()
    pool = {"access-officer": officer}
    policy = {"glass": {"approvers": 1, "seconds": 600, "right": "read", "askers": {"doctor": doctor}, "approvers_pool": pool}}
    zone = epochs.zone_record(
        CAST.root_signer, trust=TRUST, zone=ZONE, name="Ward 1", hospital="hospital-1", ward="ward-1", policy=policy, made=NOW
    )
    record = epochs.verified_zone(zone, CAST.roots.access_root_public, TRUST)
    kems = {"kem": (CAST.doctor.kem_public, CAST.access.kem_public)}
    material = epochs.SealMaterial(TRUST, OFFICER.offices, record, records=kems)
    _, officers = glass.seals_of_epoch(material, CAST.keys[1], CAST.access_signer, NOW)
    return glass.verified_part(officers.body, OFFICER.offices)


def approvals() -> list[dict[str, Any]]:
    part = part_of_officer()
    blob = letters.approval(OFFICER, letters.verified_letter(OFFICER, LETTER, NOW), part, NOW)
    base = given(blob, letter=LETTER, ephemeral_seed=EPHEMERAL_SEED)
    share = CAST.access.kem.open(part.sealed, part.info)
    says = {"person": "access-officer", "epoch": 2, "set": part.set, "place": 1, "at": ms(NOW), "share": share}
    own = resigned(blob, DOCTOR_SEED, signer=CAST.doctor_signer.id)
    wrong = {
        "place 0": (Refusal.MALFORMED, resigned(blob, ACCESS_SEED, place=0)),
        "a short set": (Refusal.MALFORMED, resigned(blob, ACCESS_SEED, set=bytes(15))),
        "to another letter": (Refusal.SWAPPED, resigned(blob, ACCESS_SEED, letter=bytes(32))),
        "for another zone": (Refusal.SWAPPED, resigned(blob, ACCESS_SEED, zone="zone-2")),
        "by the asker": (Refusal.SWAPPED, own),
        "of another place": (Refusal.TAG, resigned(blob, ACCESS_SEED, place=2)),
        "a changed seal": (Refusal.TAG, resigned(blob, ACCESS_SEED, sealed=flipped(envelope.peek_body(blob)["sealed"]))),
    }
    return [
        case("a colleague's approval", "glass-approval", base, says),
        *signature_cases("glass-approval", base, "blob", blob, ACCESS_SEED),
        *(refused(f"glass-approval: {what}", "glass-approval", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
        refused("glass-approval: opened in another session", "glass-approval", Refusal.TAG, {**base, "ephemeral_seed": key(71)}),
    ]


def reviews() -> list[dict[str, Any]]:
    blob = letters.review(OFFICER, request="request-1", letter_hash=envelope.digest(LETTER), verdict="justified", now=NOW)
    base = given(blob, zone=ZONE)
    says = {"request": "request-1", "officer": "access-officer", "verdict": "justified", "at": ms(NOW)}
    wrong = {
        "another verdict": (Refusal.MALFORMED, resigned(blob, ACCESS_SEED, verdict="fine")),
        "a short letter": (Refusal.MALFORMED, resigned(blob, ACCESS_SEED, letter=bytes(31))),
        "by the asker": (Refusal.MANDATE_MISSING, resigned(blob, DOCTOR_SEED, signer=CAST.doctor_signer.id)),
        "after the office has ended": (Refusal.CERTIFICATE_EXPIRED, resigned(blob, ACCESS_SEED, at=ms(NOW + 366 * DAY))),
    }
    return [
        case("an officer's review", "glass-review", base, says),
        *signature_cases("glass-review", base, "blob", blob, ACCESS_SEED),
        *(refused(f"glass-review: {what}", "glass-review", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
    ]


def restored() -> list[dict[str, Any]]:
    lost, found = (120, key(80)), (100, key(81))
    terms: dict[str, Any] = {"trust": TRUST, "lost": lost, "found": found, "reason": "Backup of Sunday", "at": NOW}
    by_access, by_certificate = restores.restore(CAST.access_signer, **terms), restores.restore(CAST.officer_signer, **terms)
    says = {
        "lost_size": 120, "lost_root": lost[1], "found_size": 100, "found_root": found[1], "reason": "Backup of Sunday", "at": ms(NOW),
    }  # fmt: skip
    base = given(by_access)
    wrong = {
        "a short root": (Refusal.MALFORMED, resigned(by_access, ACCESS_SEED, lost_root=bytes(31))),
        "a negative size": (Refusal.MALFORMED, resigned(by_access, ACCESS_SEED, found_size=-1)),
        "by nobody in office": (Refusal.MANDATE_MISSING, resigned(by_access, DOCTOR_SEED, signer=CAST.doctor_signer.id)),
    }
    late = {**base, "now": ms(NOW + 366 * DAY)}
    return [
        case("the access office's word", "restore", base, {**says, "person": "access-officer", "office": "access"}),
        case(
            "the certificate office's word", "restore", given(by_certificate),
            {**says, "person": "certificate-officer", "office": "certificate"},
        ),
        *signature_cases("restore", base, "blob", by_access, ACCESS_SEED),
        *(refused(f"restore: {what}", "restore", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
        refused("restore: the officer's certificate has ended", "restore", Refusal.CERTIFICATE_EXPIRED, late),
    ]  # fmt: skip
