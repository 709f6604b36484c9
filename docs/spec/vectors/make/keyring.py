"""Vectors of section 13: opening a keyring, and what is opened with it (wraps and shard parts). Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, DOSSIER, NOW, TRUST, ZONE, case, flipped, key, ms, refused, resigned

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, epochs
from cloister.zones.packing import packed

SHA = algorithms.sha256
HELD = {"zone": ZONE, "name": "Ward 1", "hospital": "hospital-1", "ward": "ward-1", "epoch": 2, "right": "write", "index_key": key(32)}


def given(**changed: Any) -> dict[str, Any]:
    return {
        **CAST.roots_given(),
        "person": "doctor",
        "kem_seed": key(7),
        "sign_seed": key(8),
        "now": ms(NOW),
        "certificates": CAST.certificates(),
        "mandates": CAST.mandates,
        "grants": [CAST.grant],
        "zones": [CAST.zone],
        "epochs": CAST.epochs,
        "revoked": {},
        "revoked_grants": [],
        **changed,
    }


def gives(held: list[dict[str, Any]], *not_used: tuple[bytes, Refusal]) -> dict[str, Any]:
    return {"zones": held, "refused": sorted([SHA(blob).hex(), str(reason)] for blob, reason in not_used)}


def one(**changed: Any) -> list[dict[str, Any]]:
    return [{**HELD, "live_until": ms(CAST.later), **changed}]


def cases() -> list[dict[str, Any]]:
    return [*genuine(), *own_certificates(), *grants(), *records(), *wraps(), *shards()]


def genuine() -> list[dict[str, Any]]:
    read, hold = CAST.granted(right="read"), CAST.granted(right="hold")
    renamed = resigned(CAST.zone, key(20), seq=2, name="Ward One")
    by_officer = resigned(CAST.zone, key(24), signer=CAST.access_signer.id)
    older = CAST.granted(epoch=1, zone_key=CAST.keys[0].key)
    return [
        case("a doctor's keyring", "keyring", given(), gives(one())),
        case("who may read", "keyring", given(grants=[read]), gives(one(right="read"))),
        case("who may hold", "keyring", given(grants=[hold]), gives(one(right="hold"))),
        case("without any grant", "keyring", given(grants=[]), gives([])),
        case("the newest record of a zone counts", "keyring", given(zones=[renamed, CAST.zone]), gives(one(name="Ward One"))),
        case("a zone recorded by an officer", "keyring", given(zones=[by_officer]), gives(one())),
        case("a grant of an older epoch", "keyring", given(grants=[older]), gives(one(epoch=1))),
        case("a grant of the only epoch", "keyring", given(grants=[older], epochs=CAST.epochs[:1]), gives(one(epoch=1))),
    ]


def own_certificates() -> list[dict[str, Any]]:
    root, officer, access, doctor = CAST.certificates()
    other = {"kem_seed": key(50), "sign_seed": key(51)}
    brief = CAST.certified(CAST.doctor, days=10)
    reason = Refusal.CERTIFICATE_MISSING
    return [
        refused("nobody certified these keys", "keyring", reason, given(certificates=[root, officer, access])),
        refused("a certificate of other keys", "keyring", reason, given(**other)),
        refused("a certificate of another key to seal to", "keyring", Refusal.CERTIFICATE_OTHER_KEYS, given(kem_seed=key(50))),
        refused("another person's certificate", "keyring", Refusal.CERTIFICATE_OTHER_KEYS, given(person="nurse")),
        refused("one's own certificate has expired", "keyring", Refusal.CERTIFICATE_EXPIRED, given(now=ms(NOW + 400 * DAY))),
        refused("one's own certificate was revoked", "keyring", Refusal.CERTIFICATE_REVOKED, given(revoked={SHA(doctor).hex(): None})),
        case(
            "an expired certificate beside a valid one",
            "keyring",
            given(certificates=[*CAST.certificates(), brief], now=ms(NOW + 20 * DAY)),
            gives(one()),
        ),
        case(
            "a grant to a certificate that has ended",
            "keyring",
            given(
                certificates=[*CAST.certificates(), brief],
                now=ms(NOW + 20 * DAY),
                grants=[to_brief := CAST.granted(certificate=SHA(brief))],
            ),
            gives([], (to_brief, Refusal.GRANT_CERTIFICATE_MISMATCH)),
        ),
    ]


def grants() -> list[dict[str, Any]]:
    first = CAST.grant
    second = CAST.granted(seq=2, previous=SHA(first), right="read")
    twin = CAST.granted(right="read")
    loose = CAST.granted(seq=2, previous=bytes(31) + b"\x01")
    ended = CAST.granted(seq=2, previous=SHA(first), live_until=NOW - DAY, not_before=NOW - 2 * DAY)
    later = CAST.granted(not_before=NOW + DAY)
    nurse = CAST.granted(person="nurse")
    elsewhere = CAST.granted(zone="zone-2")
    wrong_key = CAST.granted(zone_key=Secret(key(60)))
    to_officer = CAST.granted(certificate=SHA(CAST.officer_der))
    broken = flipped(first)
    expect: dict[str, tuple[list[bytes], list[tuple[bytes, Refusal]], list[dict[str, Any]]]] = {
        "a newer grant replaces an older one": ([first, second], [(first, Refusal.GRANT_REPLAYED)], one(right="read")),
        "the same in another order": ([second, first], [(first, Refusal.GRANT_REPLAYED)], one(right="read")),
        "the same grant twice": ([first, first], [], one()),
        "a newer grant that has ended": ([first, ended], [(first, Refusal.GRANT_REPLAYED), (ended, Refusal.GRANT_EXPIRED)], []),
        "two grants of one number": ([first, twin], [(first, Refusal.CHAIN_BROKEN), (twin, Refusal.CHAIN_BROKEN)], []),
        "a newer grant that follows another one": ([first, loose], [(first, Refusal.CHAIN_BROKEN)], one()),
        "a grant that does not hold yet": ([later], [(later, Refusal.GRANT_NOT_YET)], []),
        "a grant to somebody else": ([nurse, first], [(nurse, Refusal.GRANT_OTHER_PERSON)], one()),
        "a grant to a certificate that is not one's own": ([to_officer], [(to_officer, Refusal.GRANT_CERTIFICATE_MISMATCH)], []),
        "a grant in a zone without record": ([elsewhere, first], [(elsewhere, Refusal.ZONE_MISSING)], one()),
        "a grant of another key": ([wrong_key], [(wrong_key, Refusal.COMMITMENT)], []),
        "a forged grant beside a genuine one": ([broken, first], [(broken, Refusal.SIGNATURE)], one()),
    }
    revoked = given(revoked_grants=[SHA(first)])
    replaced = given(grants=[first, second], revoked_grants=[SHA(second)])
    junk = resigned(CAST.mandates[1], key(99))
    by_root = CAST.granted(signer=CAST.root_signer)
    limited = CAST.granted(seq=2, previous=SHA(by_root), right="read")
    ended_office = CAST.mandate(CAST.access_seed, "access", CAST.access_der, "access-officer", not_after=NOW - DAY)
    return [
        *(case(name, "keyring", given(grants=blobs), gives(held, *wrong)) for name, (blobs, wrong, held) in expect.items()),
        case("a revoked grant", "keyring", revoked, gives([], (first, Refusal.GRANT_REVOKED))),
        case(
            "a revoked grant falls back to no older one",
            "keyring",
            replaced,
            gives([], (first, Refusal.GRANT_REPLAYED), (second, Refusal.GRANT_REVOKED)),
        ),
        case(
            "a forged mandate beside a genuine one",
            "keyring",
            given(mandates=[*CAST.mandates, junk]),
            gives(one(), (junk, Refusal.SIGNATURE)),
        ),
        case(
            "a newer grant whose officer's office has ended brings no older one back",
            "keyring",
            given(grants=[by_root, limited], mandates=[CAST.mandates[0], ended_office]),
            gives([], (by_root, Refusal.GRANT_REPLAYED), (limited, Refusal.MANDATE_EXPIRED)),
        ),
        case("without mandates", "keyring", given(mandates=[]), gives([], (first, Refusal.MANDATE_MISSING))),
    ]


def records() -> list[dict[str, Any]]:
    first, second = CAST.epochs
    grant = CAST.grant
    swapped = CAST.epoch(epochs.EpochKeys(ZONE, 2, Secret(key(60))), CAST.keys[0].key)
    by_doctor = resigned(second, key(8), signer=CAST.doctor_signer.id)
    by_officer = resigned(second, key(24), signer=CAST.access_signer.id)
    zone_by_doctor = resigned(CAST.zone, key(8), signer=CAST.doctor_signer.id)
    other_trust = resigned(CAST.zone, key(20), trust="trust-2")
    narrow = CAST.mandate(CAST.access_seed, "access", CAST.access_der, "access-officer", zones=["zone-2"])
    expect: dict[str, tuple[dict[str, Any], list[dict[str, Any]], Refusal | None]] = {
        "without the zone's record": ({"zones": []}, [], Refusal.ZONE_MISSING),
        "without the epoch's record": ({"epochs": [first]}, [], Refusal.EPOCH_MISSING),
        "a zone recorded by a doctor": ({"zones": [zone_by_doctor]}, [], Refusal.MANDATE_MISSING),
        "another trust's zone": ({"zones": [other_trust]}, [], Refusal.TRUST),
        "an epoch recorded by a doctor": ({"epochs": [first, by_doctor]}, [], Refusal.MANDATE_MISSING),
        "an epoch recorded by an officer": ({"epochs": [first, by_officer]}, one(), None),
        "an epoch of another key": ({"epochs": [first, swapped]}, [], Refusal.COMMITMENT),
        "a mandate for another zone": ({"mandates": [CAST.mandates[0], narrow]}, [], Refusal.ABOVE_CEILING),
    }
    return [
        case(name, "keyring", given(**change), gives(held, *([(grant, reason)] if reason else [])))
        for name, (change, held, reason) in expect.items()
    ]


def wrapped(zone_key: bytes, epoch: int, **changed: Any) -> bytes:
    terms = {"trust": TRUST, "zone": ZONE, "dossier": DOSSIER, "key_no": 1, **changed}
    bound = packed("cloister/wrap/v1", terms["trust"], terms["zone"], epoch, terms["dossier"], terms["key_no"])
    return algorithms.aead_seal(algorithms.hkdf(zone_key, "cloister/epoch/v1/wrap"), key(40), bound)


def wraps() -> list[dict[str, Any]]:
    sealed = wrapped(key(31), 2)
    facts = {**given(), "zone": ZONE, "epoch": 2, "dossier": DOSSIER, "key_no": 1, "sealed": sealed}
    old = {**facts, "epoch": 1, "sealed": wrapped(key(30), 1)}
    floor = {"grants": [CAST.granted(floor=2)]}
    hold = {"grants": [CAST.granted(right="hold")]}
    closed = {"epochs": [CAST.epochs[0], CAST.epoch(CAST.keys[1], None)]}
    then = CAST.granted(epoch=1, zone_key=CAST.keys[0].key)
    was_there = {"grants": [then, CAST.granted(seq=2, previous=SHA(then))]}
    wrong_link = {"epochs": [CAST.epochs[0], CAST.epoch(CAST.keys[1], Secret(key(60)))]}
    wrong: dict[str, tuple[Refusal, dict[str, Any]]] = {
        "a wrap of another dossier": (Refusal.TAG, {**facts, "dossier": DOSSIER[:-1] + "9"}),
        "a wrap of another key number": (Refusal.TAG, {**facts, "key_no": 2}),
        "a wrap of another trust": (Refusal.TAG, {**facts, "sealed": wrapped(key(31), 2, trust="trust-2")}),
        "a wrap of another zone": (Refusal.TAG, {**facts, "sealed": wrapped(key(31), 2, zone="zone-2")}),
        "a wrap of an older epoch as one of the newer": (Refusal.TAG, {**facts, "sealed": old["sealed"]}),
        "a changed wrap": (Refusal.TAG, {**facts, "sealed": flipped(sealed)}),
        "a wrap cut short": (Refusal.TAG, {**facts, "sealed": sealed[:-1]}),
        "a wrap in a zone that is not open": (Refusal.ZONE_NOT_HELD, {**facts, "zone": "zone-2"}),
        "a wrap below the floor": (Refusal.EPOCH_FLOOR, {**old, **floor}),
        "a wrap of an epoch to come": (Refusal.EPOCH_MISSING, {**facts, "epoch": 3}),
        "a wrap of epoch 0": (Refusal.EPOCH_FLOOR, {**facts, "epoch": 0}),
        "a wrap of an epoch whose record is gone": (Refusal.EPOCH_MISSING, {**old, "epochs": CAST.epochs[1:]}),
        "a wrap behind a closed past": (Refusal.EPOCH_FLOOR, {**old, **closed}),
        "a wrap behind a link to another key": (Refusal.COMMITMENT, {**old, **wrong_link}),
        "a wrap for who only holds": (Refusal.RIGHT_MISSING, {**facts, **hold}),
    }
    return [
        case("a wrap", "wrap", facts, {"key": key(40)}),
        case("a wrap of an older epoch", "wrap", old, {"key": key(40)}),
        case("a wrap behind a closed past, for who was there before", "wrap", {**old, **closed, **was_there}, {"key": key(40)}),
        *(refused(name, "wrap", reason, change) for name, (reason, change) in wrong.items()),
    ]


def shards() -> list[dict[str, Any]]:
    bound = packed("cloister/shard/v1", TRUST, ZONE, 2, "", 3)
    sealed = (2).to_bytes(4, "big") + algorithms.aead_seal(algorithms.hkdf(key(31), "cloister/epoch/v1/shard"), b"shard", bound)
    facts = {**given(), "zone": ZONE, "part_no": 3, "sealed": sealed}
    wrong: dict[str, tuple[Refusal, dict[str, Any]]] = {
        "another part": (Refusal.TAG, {"part_no": 4}),
        "another epoch": (Refusal.TAG, {"sealed": (1).to_bytes(4, "big") + sealed[4:]}),
        "an epoch to come": (Refusal.EPOCH_MISSING, {"sealed": (9).to_bytes(4, "big") + sealed[4:]}),
        "a shard cut short": (Refusal.TAG, {"sealed": sealed[:-1]}),
        "a shard shorter than its epoch": (Refusal.TAG, {"sealed": sealed[:3]}),
        "a shard in a zone that is not open": (Refusal.ZONE_NOT_HELD, {"zone": "zone-2"}),
        "a shard for who only holds": (Refusal.RIGHT_MISSING, {"grants": [CAST.granted(right="hold")]}),
    }
    return [
        case("a shard part", "shard", facts, {"plain": b"shard"}),
        *(refused(name, "shard", reason, {**facts, **change}) for name, (reason, change) in wrong.items()),
    ]
