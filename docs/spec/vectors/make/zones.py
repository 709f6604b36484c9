"""Vectors of section 9: zone and epoch records. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, NOW, TRUST, ZONE, case, flipped, key, ms, refused, resigned, signature_cases

from cloister.zones import Refusal, algorithms, envelope, epochs

ROOT = key(20)


def cases() -> list[dict[str, Any]]:
    return [*zones(), *epoch_records()]


def zones() -> list[dict[str, Any]]:
    given = {"trust": TRUST, "public": CAST.roots.access_root_public, "blob": CAST.zone}
    rich = epochs.zone_record(
        CAST.root_signer,
        trust=TRUST,
        zone="zone-2",
        name="Étage 2",
        hospital="hospital-1",
        ward=None,
        policy={"b": 1, "a": [True]},
        made=NOW,
        seq=7,
    )
    says = {"zone": ZONE, "name": "Ward 1", "hospital": "hospital-1", "ward": "ward-1", "policy": {}, "seq": 1, "made": ms(NOW)}
    other = {
        "zone": "zone-2",
        "name": "Étage 2",
        "hospital": "hospital-1",
        "ward": None,
        "policy": {"a": [True], "b": 1},
        "seq": 7,
        "made": ms(NOW),
    }
    wrong = {
        "a policy that is no map": {"policy": []},
        "number 0": {"seq": 0},
        "a name that is no text": {"name": 1},
        "a ward that is no text": {"ward": 1},
        "a moment that is no number": {"made": "now"},
    }
    return [
        case("a zone", "zone", given, says),
        case("a zone with a policy", "zone", {**given, "blob": rich}, other),
        *signature_cases("zone", given, "blob", CAST.zone, ROOT),
        *(
            refused(f"zone: {name}", "zone", Refusal.MALFORMED, {**given, "blob": resigned(CAST.zone, ROOT, **change)})
            for name, change in wrong.items()
        ),
    ]


def epoch_records() -> list[dict[str, Any]]:
    first, second = CAST.epochs
    closed = CAST.epoch(CAST.keys[1], None)
    body = envelope.peek_body(second)

    def given(blob: bytes, zone_key: bytes) -> dict[str, Any]:
        return {"trust": TRUST, "public": CAST.roots.access_root_public, "blob": blob, "zone_key": zone_key}

    def says(blob: bytes, number: int, previous: bytes | None) -> dict[str, Any]:
        found = envelope.peek_body(blob)
        return {
            "zone": ZONE,
            "epoch": number,
            "commitment": found["commitment"],
            "ingest": found["ingest"],
            "made": ms(NOW),
            "index_key": key(32),
            "previous": previous,
        }

    assert body["commitment"] == algorithms.hkdf(key(31), "cloister/epoch/v1/commitment")
    wrong = {
        "number 0": (Refusal.MALFORMED, {"epoch": 0}),
        "a short commitment": (Refusal.MALFORMED, {"commitment": bytes(31)}),
        "a short public key": (Refusal.MALFORMED, {"ingest": bytes(32)}),
        "another key's commitment": (Refusal.COMMITMENT, {"commitment": flipped(body["commitment"])}),
        "another epoch's number": (Refusal.TAG, {"epoch": 3}),
        "another zone's name": (Refusal.TAG, {"zone": "zone-2"}),
        "a changed index key": (Refusal.TAG, {"index": flipped(body["index"])}),
        "the link in the index key's place": (Refusal.TAG, {"index": body["previous"]}),
    }
    return [
        case("a first epoch", "epoch", given(first, key(30)), says(first, 1, None)),
        case("a second epoch", "epoch", given(second, key(31)), says(second, 2, key(30))),
        case("an epoch that closes the past", "epoch", given(closed, key(31)), says(closed, 2, None)),
        *signature_cases("epoch", given(second, key(31)), "blob", second, ROOT),
        refused("epoch: opened with another key", "epoch", Refusal.COMMITMENT, given(second, key(30))),
        *(
            refused(f"epoch: {name}", "epoch", reason, given(resigned(second, ROOT, **change), key(31)))
            for name, (reason, change) in wrong.items()
        ),
    ]
