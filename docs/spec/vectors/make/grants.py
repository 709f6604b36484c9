"""Vectors of section 8: mandates and grants. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, NOW, ZONE, case, key, ms, refused, resigned, signature_cases

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, bundle, envelope

SHA = algorithms.sha256
ACCESS_SEED = key(24)  # of the access officer's signature


def cases() -> list[dict[str, Any]]:
    return [*mandates(), *genuine(), *wrong_grants(), *wrong_officers(), *own_grants()]


def mandates() -> list[dict[str, Any]]:
    certifying, access = CAST.mandates
    narrow = CAST.mandate(CAST.access_seed, "access", CAST.access_der, "access-officer", ceiling="read", zones=["zone-b", "zone-a"])
    given = {**CAST.roots_given(), "blob": access}
    root, certificate_root = key(20), CAST.root_seed.reveal()
    terms = {"person": "access-officer", "certificate": SHA(CAST.access_der), "not_after": ms(CAST.later)}
    wrong = {
        "an office that nobody knows": (Refusal.SWAPPED, resigned(access, root, office="king")),
        "a right that nobody knows": (Refusal.MALFORMED, resigned(access, root, ceiling="own")),
        "a short hash": (Refusal.MALFORMED, resigned(access, root, certificate=bytes(31))),
        "a zone that is no text": (Refusal.MALFORMED, resigned(access, root, zones=[1])),
        "zones that are not sorted": (Refusal.MALFORMED, resigned(access, root, zones=["b", "a"])),
        "a zone twice": (Refusal.MALFORMED, resigned(access, root, zones=["a", "a"])),
        "the certificate root's word on access": (Refusal.SIGNATURE, resigned(access, certificate_root)),
        "the certificate root's word on access, in its own name": (
            Refusal.SWAPPED,
            resigned(access, certificate_root, signer="root/certificate"),
        ),
        "the access root's word on certification": (Refusal.SWAPPED, resigned(certifying, root, signer="root/access")),
        "an officer's word": (Refusal.MANDATE_MISSING, resigned(access, ACCESS_SEED, signer=CAST.access_signer.id)),
    }
    return [
        case("an access officer's mandate", "mandate", given, {"office": "access", "ceiling": "write", "zones": None, **terms}),
        case(
            "a mandate for two zones",
            "mandate",
            {**given, "blob": narrow},
            {"office": "access", "ceiling": "read", "zones": ["zone-a", "zone-b"], **terms},
        ),
        case(
            "a certificate officer's mandate",
            "mandate",
            {**given, "blob": certifying},
            {
                "office": "certificate",
                "ceiling": "hold",
                "zones": None,
                **terms,
                "person": "certificate-officer",
                "certificate": SHA(CAST.officer_der),
            },
        ),
        *signature_cases("mandate", given, "blob", access, root),
        *(refused(f"mandate: {name}", "mandate", reason, {**given, "blob": blob}) for name, (reason, blob) in wrong.items()),
    ]


def given(blob: bytes, now: Any = NOW, **changed: Any) -> dict[str, Any]:
    return {
        **CAST.roots_given(),
        "certificates": CAST.certificates(),
        "mandates": CAST.mandates,
        "blob": blob,
        "kem_seed": key(7),
        "now": ms(now),
        **changed,
    }


def says(blob: bytes) -> dict[str, Any]:
    names = ("zone", "epoch", "floor", "person", "certificate", "right", "not_before", "live_until", "reason", "seq", "previous")
    return {"zone_key": key(31), "hash": SHA(blob), **{name: envelope.peek_body(blob)[name] for name in names}}


def genuine() -> list[dict[str, Any]]:
    by_root = CAST.granted(signer=CAST.root_signer)
    second = CAST.granted(seq=2, previous=SHA(CAST.grant), right="read")
    last = NOW + DAY
    brief = CAST.granted(live_until=last)
    return [
        case("a grant", "grant", given(CAST.grant), says(CAST.grant)),
        case("a grant of the root", "grant", given(by_root), says(by_root)),
        case("a second grant", "grant", given(second), says(second)),
        case("a grant in its last moment", "grant", given(brief, last), says(brief)),
        refused("a grant after its end", "grant", Refusal.GRANT_EXPIRED, given(brief, last + DAY)),
        refused("a grant before its beginning", "grant", Refusal.GRANT_NOT_YET, given(CAST.granted(not_before=NOW + DAY))),
        refused("a grant opened with another key", "grant", Refusal.TAG, given(CAST.grant, kem_seed=key(8))),
    ]


def wrong_grants() -> list[dict[str, Any]]:
    blob = CAST.grant
    sealed = envelope.peek_body(CAST.granted(signer=CAST.root_signer))["sealed"]
    wrong = {
        "a right that nobody knows": (Refusal.MALFORMED, {"right": "own"}),
        "epoch 0": (Refusal.MALFORMED, {"epoch": 0}),
        "floor 0": (Refusal.MALFORMED, {"floor": 0}),
        "a floor above the epoch": (Refusal.EPOCH_FLOOR, {"floor": 3}),
        "grant number 0": (Refusal.MALFORMED, {"seq": 0}),
        "a moment before 1970": (Refusal.MALFORMED, {"not_before": -1}),
        "a short hash": (Refusal.MALFORMED, {"certificate": bytes(31)}),
        "a short previous": (Refusal.MALFORMED, {"previous": b""}),
        "a grant as mandate would name it": (Refusal.MALFORMED, {"office": "access"}),
        "more rights, the seal kept": (Refusal.TAG, {"reason": "Another"}),
        "another zone, the seal kept": (Refusal.TAG, {"zone": "zone-2"}),
        "an earlier floor, the seal kept": (Refusal.TAG, {"floor": 2}),
        "another grant's seal": (Refusal.TAG, {"sealed": sealed}),
        "no seal": (Refusal.MALFORMED, {"sealed": b""}),
    }
    return [
        *signature_cases("grant", given(blob), "blob", blob, ACCESS_SEED),
        *(
            refused(f"grant: {name}", "grant", reason, given(resigned(blob, ACCESS_SEED, **change)))
            for name, (reason, change) in wrong.items()
        ),
    ]


def wrong_officers() -> list[dict[str, Any]]:
    blob, by_access = CAST.grant, CAST.access_signer
    by_doctor = resigned(blob, key(8), signer=CAST.doctor_signer.id)
    nobody = resigned(blob, key(42), signer=bytes(32).hex())
    by_certifier = resigned(blob, key(22), signer=CAST.officer_signer.id)
    by_certificate_root = resigned(blob, CAST.root_seed.reveal(), signer="root/certificate")

    def mandated(**terms: Any) -> list[bytes]:
        return [CAST.mandates[0], CAST.mandate(CAST.access_seed, "access", CAST.access_der, "access-officer", **terms)]

    ended = NOW - DAY
    reads = CAST.granted(right="read")
    # The access officer has certified once, with other keys; and a certificate officer whose key grants.
    other = bundle.Bundle("access-officer", Secret(key(43)), Secret(key(44)))
    certifies_too = CAST.certified(other, "certificate", CAST.root_seed, CAST.root_der)
    same_key = bundle.Bundle("somebody-else", Secret(key(43)), Secret(key(24)))
    key_certifies = CAST.certified(same_key, "certificate", CAST.root_seed, CAST.root_der)
    grants_too = CAST.mandate(CAST.access_seed, "access", CAST.officer_der, "certificate-officer")
    ders = CAST.certificates()
    missing, above, both = Refusal.MANDATE_MISSING, Refusal.ABOVE_CEILING, Refusal.BOTH_OFFICES
    return [
        refused("granted by a doctor", "grant", missing, given(by_doctor)),
        refused("granted by nobody", "grant", Refusal.CERTIFICATE_MISSING, given(nobody)),
        refused("granted by a certificate officer", "grant", missing, given(by_certifier)),
        refused("granted by the certificate root", "grant", Refusal.MALFORMED, given(by_certificate_root)),
        refused("granted without a mandate", "grant", missing, given(blob, mandates=CAST.mandates[:1])),
        refused("granted after the mandate's end", "grant", Refusal.MANDATE_EXPIRED, given(blob, mandates=mandated(not_after=ended))),
        refused("above the ceiling", "grant", above, given(blob, mandates=mandated(ceiling="read"))),
        case("at the ceiling", "grant", given(reads, mandates=mandated(ceiling="read")), says(reads)),
        refused("in a zone of another officer", "grant", above, given(blob, mandates=mandated(zones=["zone-2"]))),
        case("in a zone of the officer", "grant", given(blob, mandates=mandated(zones=[ZONE])), says(blob)),
        refused("granted by somebody who certified once", "grant", both, given(blob, certificates=[*ders, certifies_too])),
        refused("granted by a key that certifies", "grant", both, given(blob, certificates=[*ders, key_certifies])),
        refused("certifies and grants", "grant", both, given(by_certifier, mandates=[*CAST.mandates, grants_too])),
        refused(
            "granted with a revoked certificate",
            "grant",
            Refusal.CERTIFICATE_REVOKED,
            given(blob, revoked={SHA(CAST.access_der).hex(): None}),
        ),
        refused("the signer is no hash", "grant", Refusal.MALFORMED, given(resigned(blob, ACCESS_SEED, signer="root/other"))),
        refused("the signer in capitals", "grant", Refusal.MALFORMED, given(resigned(blob, ACCESS_SEED, signer=by_access.id.upper()))),
    ]


def own_grants() -> list[dict[str, Any]]:
    """Nobody grants to oneself: not by name, not by certificate, not under another name with the same key."""
    alias = bundle.Bundle("alias", Secret(key(23)), Secret(key(24)))
    alias_der = CAST.certified(alias)
    to_self = resigned(CAST.grant, ACCESS_SEED, person="access-officer", certificate=SHA(CAST.access_der))
    to_certificate = resigned(CAST.grant, ACCESS_SEED, certificate=SHA(CAST.access_der))
    to_alias = resigned(CAST.grant, ACCESS_SEED, person="alias", certificate=SHA(alias_der))
    facts = {"kem_seed": key(23), "certificates": [*CAST.certificates(), alias_der]}
    reason = Refusal.GRANT_SELF
    return [
        refused("granted to oneself", "grant", reason, given(to_self, **facts)),
        refused("granted to one's own certificate", "grant", reason, given(to_certificate, **facts)),
        refused("granted to one's own key under another name", "grant", reason, given(to_alias, **facts)),
    ]
