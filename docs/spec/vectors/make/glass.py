"""Vectors of sections 21, 22 and 23: break-glass seals, what is sealed into a zone, shares. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, DOSSIER, NOW, TRUST, ZONE, case, flipped, key, ms, refused, resigned, signature_cases

from cloister.base.secret import Secret
from cloister.records import sealed_in
from cloister.zones import Refusal, algorithms, envelope, epochs, glass, shamir

SHA = algorithms.sha256
ACCESS_SEED, DOCTOR_SEED = key(24), key(8)
KEYS = CAST.keys[1]
EPOCH = epochs.verified_epoch(CAST.epochs[1], CAST.roots.access_root_public, TRUST)


def cases() -> list[dict[str, Any]]:
    return [*shares(), *parts(), *keys(), *messages(), *dossiers()]


def shares() -> list[dict[str, Any]]:
    secret, slope = key(50), key(90)
    made = shamir.shares(secret, 3, slope=slope)
    given = {"shares": {"1": made[0], "3": made[2]}}
    wrong = {
        "one share": {"1": made[0]},
        "three shares": {"1": made[0], "2": made[1], "3": made[2]},
        "a share at place 0": {"0": made[0], "1": made[1]},
        "a share at place 256": {"1": made[0], "256": made[1]},
        "shares of two lengths": {"1": made[0], "2": made[1][:31]},
    }
    return [
        case("two of three shares give the secret", "glass-shares", given, {"secret": secret}),
        case("any other two as well", "glass-shares", {"shares": {"2": made[1], "3": made[2]}}, {"secret": secret}),
        *(refused(f"glass-shares: {what}", "glass-shares", Refusal.MALFORMED, {"shares": some}) for what, some in wrong.items()),
    ]


def policy(approvers: int) -> dict[str, Any]:
    doctor, officer = SHA(CAST.doctor_der).hex(), SHA(CAST.access_der).hex()
    people = {"doctor": doctor}
    pool = {"access-officer": officer, "doctor": doctor}
    return {"glass": {"approvers": approvers, "seconds": 600, "right": "read", "askers": people, "approvers_pool": pool}}


def sealed(approvers: int) -> list[bytes]:
    zone = epochs.zone_record(
        CAST.root_signer, trust=TRUST, zone=ZONE, name="Ward 1", hospital="hospital-1", ward="ward-1", policy=policy(approvers), made=NOW
    )
    offices = CAST.keyring().offices
    record = epochs.verified_zone(zone, CAST.roots.access_root_public, TRUST)
    material = epochs.SealMaterial(TRUST, offices, record, records={"kem": (CAST.doctor.kem_public, CAST.access.kem_public)})
    return [one.body for one in glass.seals_of_epoch(material, KEYS, CAST.access_signer, NOW)]


def given(blob: bytes) -> dict[str, Any]:
    return {**CAST.roots_given(), "certificates": CAST.certificates(), "mandates": CAST.mandates, "blob": blob}


def parts() -> list[dict[str, Any]]:
    asker, officer, doctor = sealed(2)
    body = envelope.peek_body(asker)
    says = {
        "zone": ZONE, "epoch": 2, "set": body["set"], "approvers": 2, "place": 0, "person": "doctor", "certificate": SHA(CAST.doctor_der),
        "made": ms(NOW),
    }  # fmt: skip
    own = glass.verified_part(asker, CAST.keyring().offices)
    opened = CAST.doctor.kem.open(own.sealed, own.info)
    whole = {**given(asker), "kem_seed": key(7)}
    wrong = {
        "a place above 255": (Refusal.MALFORMED, resigned(asker, ACCESS_SEED, place=256)),
        "three approvers": (Refusal.MALFORMED, resigned(asker, ACCESS_SEED, approvers=3)),
        "a short set": (Refusal.MALFORMED, resigned(asker, ACCESS_SEED, set=bytes(15))),
        "a seal that is too short": (Refusal.MALFORMED, resigned(asker, ACCESS_SEED, sealed=body["sealed"][:-1])),
        "moved to another zone": (Refusal.TAG, resigned(asker, ACCESS_SEED, zone="zone-2")),
        "another's seal": (Refusal.TAG, resigned(asker, ACCESS_SEED, sealed=envelope.peek_body(officer)["sealed"])),
        "given another place": (Refusal.TAG, resigned(doctor, ACCESS_SEED, place=0)),
        "signed by the doctor": (Refusal.MANDATE_MISSING, resigned(asker, DOCTOR_SEED, signer=CAST.doctor_signer.id)),
        "made after the office ended": (Refusal.CERTIFICATE_EXPIRED, resigned(asker, ACCESS_SEED, made=ms(NOW + 3660 * DAY))),
    }
    return [
        case("an asker's part of two", "glass-part", whole, {**says, "part": opened}),
        *signature_cases("glass-part", whole, "blob", asker, ACCESS_SEED),
        *(refused(f"glass-part: {what}", "glass-part", reason, {**whole, "blob": blob}) for what, (reason, blob) in wrong.items()),
    ]


def keys() -> list[dict[str, Any]]:
    z, a = KEYS.key.reveal(), key(60)
    p = bytes(x ^ y for x, y in zip(z, a, strict=True))
    first, second = shamir.shares(p, 2, slope=key(91))
    base = {"epoch": CAST.epochs[1], **CAST.roots_given(), "asker": a}
    none = {**base, "approvers": 0, "asker": z, "parts": {}}
    two = {**base, "approvers": 2, "parts": {"1": first, "2": second}}
    return [
        case("with nobody's word", "glass-key", none, {"zone_key": z}),
        case("with one colleague's", "glass-key", {**base, "approvers": 1, "parts": {"1": p}}, {"zone_key": z}),
        case("with two colleagues'", "glass-key", two, {"zone_key": z}),
        refused("glass-key: one of two", "glass-key", Refusal.APPROVALS_MISSING, {**two, "parts": {"1": first}}),
        refused("glass-key: none of one", "glass-key", Refusal.APPROVALS_MISSING, {**base, "approvers": 1, "parts": {}}),
        refused("glass-key: a changed share", "glass-key", Refusal.COMMITMENT, {**two, "parts": {"1": flipped(first), "2": second}}),
        refused("glass-key: shares in each other's place", "glass-key", Refusal.COMMITMENT, {**two, "parts": {"1": second, "2": first}}),
    ]


def messages() -> list[dict[str, Any]]:
    content = b'{"resourceType":"Observation"}'
    blob = sealed_in.sealed_content(CAST.doctor_signer, trust=TRUST, epoch=EPOCH, seq=7, content=content, now=NOW)
    named = {"doctor": SHA(CAST.doctor_der).hex()}
    base = {
        **CAST.roots_given(), "certificates": CAST.certificates(), "now": ms(NOW), "machines": named, "blob": blob,
        "zone_key": KEYS.key.reveal(),
    }  # fmt: skip
    says = {"zone": ZONE, "epoch": 2, "machine": "doctor", "seq": 7, "at": ms(NOW), "content": content}
    wrong = {
        "number 0": (Refusal.MALFORMED, resigned(blob, DOCTOR_SEED, seq=0)),
        "moved to another zone": (Refusal.TAG, resigned(blob, DOCTOR_SEED, zone="zone-2")),
        "numbered anew": (Refusal.TAG, resigned(blob, DOCTOR_SEED, seq=8)),
        "a changed seal": (Refusal.TAG, resigned(blob, DOCTOR_SEED, sealed=flipped(envelope.peek_body(blob)["sealed"]))),
    }
    other = {**base, "machines": {"doctor": SHA(CAST.access_der).hex()}}
    return [
        case("a machine's message", "sealed-message", base, says),
        *signature_cases("sealed-message", base, "blob", blob, DOCTOR_SEED),
        *(refused(f"sealed-message: {what}", "sealed-message", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
        refused("sealed-message: the policy names another certificate", "sealed-message", Refusal.DEVICE_NOT_NAMED, other),
        refused("sealed-message: the policy names nobody", "sealed-message", Refusal.DEVICE_NOT_NAMED, {**base, "machines": {}}),
        refused(
            "sealed-message: the machine's certificate has ended", "sealed-message", Refusal.CERTIFICATE_EXPIRED,
            {**base, "now": ms(NOW + 366 * DAY)},
        ),
    ]  # fmt: skip


def dossiers() -> list[dict[str, Any]]:
    dossier, keys = bytes.fromhex(DOSSIER.replace("-", "")), {1: Secret(key(70)), 2: Secret(key(71))}
    terms = {"trust": TRUST, "epoch": EPOCH, "dossier": dossier, "reason": "transfer", "resource": f"Encounter/{DOSSIER}", "now": NOW}
    blob = sealed_in.share(CAST.doctor_signer, keys=keys, **terms)
    empty = sealed_in.share(CAST.doctor_signer, keys={}, **terms)
    base = {**CAST.roots_given(), "certificates": CAST.certificates(), "now": ms(NOW), "blob": blob, "zone_key": KEYS.key.reveal()}
    says = {
        "dossier": dossier, "zone": ZONE, "epoch": 2, "giver": "doctor", "reason": "transfer", "resource": f"Encounter/{DOSSIER}",
        "at": ms(NOW), "keys": {"1": key(70), "2": key(71)},
    }  # fmt: skip
    wrong = {
        "another reason": (Refusal.MALFORMED, resigned(blob, DOCTOR_SEED, reason="curiosity")),
        "a short dossier": (Refusal.MALFORMED, resigned(blob, DOCTOR_SEED, dossier=bytes(15))),
        "another dossier": (Refusal.TAG, resigned(blob, DOCTOR_SEED, dossier=bytes(16))),
        "moved to another zone": (Refusal.TAG, resigned(blob, DOCTOR_SEED, zone="zone-2")),
        "no keys": (Refusal.MALFORMED, empty),
    }
    return [
        case("a dossier's two keys", "share", base, says),
        *signature_cases("share", base, "blob", blob, DOCTOR_SEED),
        *(refused(f"share: {what}", "share", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
    ]
