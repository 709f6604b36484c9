"""Vectors of section 24: IT's keys, card sets, seals, the canary, software cards, statements of a ceremony. Run: see __main__.py."""

from __future__ import annotations

import base64
import json
from typing import Any

from _cast import CAST, DAY, NOW, TRUST, ZONE, case, flipped, key, ms, refused, resigned, signature_cases

from cloister.base.secret import Secret
from cloister.offices import ceremony, software_card
from cloister.zones import Refusal, algorithms, envelope, recovery, unlockers

SHA = algorithms.sha256
ACCESS_SEED, DOCTOR_SEED, OFFICER_SEED = key(24), key(8), key(22)
KEYS = CAST.keys[1]
SEEDS = key(110) + key(120) + key(130)
ESCROW = recovery.Escrow(Secret(SEEDS))
SCALAR = {"A": key(140), "B": key(150)}
CARD = {name: algorithms.ecdh_public("P-256", scalar) for name, scalar in SCALAR.items()}
OFFICES = CAST.keyring().offices


def cases() -> list[dict[str, Any]]:
    return [*escrows(), *sets(), *seals(), *canaries(), *cards(), *statements()]


def given(blob: bytes) -> dict[str, Any]:
    return {**CAST.roots_given(), "certificates": CAST.certificates(), "mandates": CAST.mandates, "blob": blob}


def escrows() -> list[dict[str, Any]]:
    blob = recovery.escrow_record(CAST.officer_signer, trust=TRUST, kem=ESCROW.kem_public, lattice=ESCROW.lattice_public, made=NOW)
    says = {"kem": ESCROW.kem_public, "lattice": ESCROW.lattice_public}
    wrong = {
        "signed by the access officer": (Refusal.MANDATE_MISSING, resigned(blob, ACCESS_SEED, signer=CAST.access_signer.id)),
        "a short key": (Refusal.MALFORMED, resigned(blob, OFFICER_SEED, lattice=ESCROW.lattice_public[:-1])),
    }
    return [
        case("IT's keys", "recovery-escrow", given(blob), says),
        *signature_cases("recovery-escrow", given(blob), "blob", blob, OFFICER_SEED),
        *(refused(f"recovery-escrow: {what}", "recovery-escrow", reason, given(one)) for what, (reason, one) in wrong.items()),
    ]


def made_set(name: str) -> bytes:
    return recovery.set_record(
        CAST.access_signer, trust=TRUST, name=name, number=1, curve="P-256", card=CARD[name],
        lattice=ESCROW.lattice_public, escrow=ESCROW.kem_public, made=NOW,
    )  # fmt: skip


SET = {name: made_set(name) for name in recovery.SETS}


def sets() -> list[dict[str, Any]]:
    blob = SET["A"]
    says = {
        "set": "A", "number": 1, "curve": "P-256", "card": CARD["A"], "lattice": ESCROW.lattice_public, "escrow": ESCROW.kem_public,
        "made": ms(NOW),
    }  # fmt: skip
    wrong = {
        "a third set": (Refusal.MALFORMED, resigned(blob, ACCESS_SEED, set="C")),
        "number 0": (Refusal.MALFORMED, resigned(blob, ACCESS_SEED, number=0)),
        "signed by the doctor": (Refusal.MANDATE_MISSING, resigned(blob, DOCTOR_SEED, signer=CAST.doctor_signer.id)),
        "made after the office ended": (Refusal.CERTIFICATE_EXPIRED, resigned(blob, ACCESS_SEED, made=ms(NOW + 3660 * DAY))),
    }
    return [
        case("card set A", "recovery-set", given(blob), says),
        *signature_cases("recovery-set", given(blob), "blob", blob, ACCESS_SEED),
        *(refused(f"recovery-set: {what}", "recovery-set", reason, given(one)) for what, (reason, one) in wrong.items()),
    ]


def seals() -> list[dict[str, Any]]:
    present = recovery.present_sets(tuple(SET.values()), OFFICES)
    blob = recovery.sealed_for(present, TRUST, KEYS, CAST.access_signer, NOW)[0].body
    base = {**given(blob), "record": SET["A"], "escrow_seeds": SEEDS, "card": SCALAR["A"]}
    body = envelope.peek_body(blob)
    other = recovery.sealed_for(present, TRUST, KEYS, CAST.access_signer, NOW)[1].body
    wrong = {
        "moved to another zone": (Refusal.TAG, resigned(blob, ACCESS_SEED, zone="zone-2")),
        "moved to another epoch": (Refusal.TAG, resigned(blob, ACCESS_SEED, epoch=1)),
        "a changed seal": (Refusal.TAG, resigned(blob, ACCESS_SEED, sealed=flipped(body["sealed"]))),
        "the other set's": (Refusal.SWAPPED, other),
        "signed by the doctor": (Refusal.MANDATE_MISSING, resigned(blob, DOCTOR_SEED, signer=CAST.doctor_signer.id)),
    }
    return [
        case("a seal, with all three", "recovery-seal", base, {"zone": ZONE, "epoch": 2, "zone_key": KEYS.key.reveal()}),
        *signature_cases("recovery-seal", base, "blob", blob, ACCESS_SEED),
        *(refused(f"recovery-seal: {what}", "recovery-seal", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
        refused("recovery-seal: the card of set B", "recovery-seal", Refusal.TAG, {**base, "card": SCALAR["B"]}),
        refused("recovery-seal: another escrow key", "recovery-seal", Refusal.TAG, {**base, "escrow_seeds": key(111) + SEEDS[32:]}),
        refused("recovery-seal: another ML-KEM key", "recovery-seal", Refusal.TAG, {**base, "escrow_seeds": SEEDS[:32] + key(1) + key(2)}),
    ]


def canaries() -> list[dict[str, Any]]:
    blob = recovery.canary(CAST.access_signer, trust=TRUST, keys=KEYS, made=NOW)
    base = {**given(blob), "zone": ZONE, "epoch": 2, "zone_key": KEYS.key.reveal()}
    return [
        case("a canary", "recovery-canary", base, {"text": recovery.CANARY_TEXT.decode()}),
        *signature_cases("recovery-canary", base, "blob", blob, ACCESS_SEED),
        refused("recovery-canary: another zone key", "recovery-canary", Refusal.TAG, {**base, "zone_key": key(1)}),
        refused("recovery-canary: of another epoch", "recovery-canary", Refusal.SWAPPED, {**base, "epoch": 1}),
    ]


def cards() -> list[dict[str, Any]]:
    params = {"salt": key(0)[:16].hex(), "passes": 3, "memory_kib": 65_536, "lanes": 4}
    public, pin = CARD["A"].hex(), "12345-67890-12345-67890"
    kind = unlockers.UnlockerKind.PASSPHRASE
    kept = unlockers.wrap_unlock_key(
        software_card.pin_kek(pin, params), f"recovery-card/{public}", TRUST, kind, params, Secret(SCALAR["A"])
    )
    file = {
        "form": software_card.FORM, "trust": TRUST, "curve": "P-256", "public": public, "params": params,
        "sealed": base64.b64encode(kept.sealed).decode(), "tries": 5,
    }  # fmt: skip
    base = {"file": json.dumps(file), "pin": pin}
    return [
        case("a software card", "software-card", base, {"scalar": SCALAR["A"]}),
        refused("software-card: a wrong PIN", "software-card", Refusal.WRONG_KEY, {**base, "pin": "12345-67890-12345-67891"}),
        refused(
            "software-card: another trust's", "software-card", Refusal.WRONG_KEY, {**base, "file": json.dumps({**file, "trust": "trust-2"})}
        ),
    ]


def statements() -> list[dict[str, Any]]:
    keyring = CAST.keyring()
    asked = {
        "purpose": "recover", "set": "A", "reason": "both officers left", "recipient": "doctor", "right": "read", "zone": ZONE, "epoch": 2,
    }  # fmt: skip
    blob = ceremony.signed_opening(keyring, opening=asked, at=NOW, until=NOW + ceremony.LIFE)
    signer = keyring.certificate.person
    seed = {"doctor": DOCTOR_SEED, "access-officer": ACCESS_SEED}[signer]
    base = {**given(blob)}
    says = {**asked, "person": signer, "at": ms(NOW), "until": ms(NOW + ceremony.LIFE), "hash": SHA(blob)}
    opening = ceremony.verified_opening(blob, keyring)
    stop = ceremony.signed_statement(keyring, ceremony.Ceremony(opening), ceremony.Step.STOP, NOW, reason="not complete")
    wrong = {
        "longer than a day": (Refusal.MALFORMED, resigned(blob, seed, until=ms(NOW + 2 * DAY))),
        "another purpose": (Refusal.MALFORMED, resigned(blob, seed, purpose="curiosity")),
    }
    said = {**given(stop), "ceremony": opening.hash}
    return [
        case("a ceremony is opened", "ceremony-opening", base, says),
        *signature_cases("ceremony-opening", base, "blob", blob, seed),
        *(refused(f"ceremony-opening: {what}", "ceremony-opening", reason, {**base, "blob": one}) for what, (reason, one) in wrong.items()),
        case(
            "a ceremony is stopped", "ceremony-statement", said, {"step": "stop", "person": signer, "at": ms(NOW), "reason": "not complete"}
        ),
        *signature_cases("ceremony-statement", said, "blob", stop, seed),
        refused("ceremony-statement: of another ceremony", "ceremony-statement", Refusal.SWAPPED, {**said, "ceremony": bytes(32)}),
    ]
