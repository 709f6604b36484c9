"""Vectors of section 18: revocations and second signatures. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, NOW, TRUST, ZONE, case, key, ms, refused, resigned, signature_cases

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, bundle, envelope, grants, revocations

SHA = algorithms.sha256
SECOND = bundle.Bundle("second-officer", Secret(key(40)), Secret(key(41)))
SECOND_DER = CAST.certified(SECOND, "access")
SECOND_SIGNER = envelope.person_signer(SHA(SECOND_DER), SECOND.signing)
MANDATES = [*CAST.mandates, CAST.mandate(CAST.access_seed, "access", SECOND_DER, SECOND.person)]
ACCESS_SEED, OFFICER_SEED, SECOND_SEED = key(24), key(22), key(41)


def given(**changed: Any) -> dict[str, Any]:
    return {**CAST.roots_given(), "certificates": [*CAST.certificates(), SECOND_DER], "mandates": MANDATES, **changed}


def said(signer: envelope.Signer, kind: str, target: bytes, **changed: Any) -> bytes:
    terms: dict[str, Any] = {"person": "doctor", "reason": "Left", "at": NOW + DAY, **changed}
    return revocations.revocation(signer, trust=TRUST, kind=kind, target=target, **terms)


def cases() -> list[dict[str, Any]]:
    return [*words(), *second()]


def words() -> list[dict[str, Any]]:
    doctor, granted = SHA(CAST.doctor_der), envelope.digest(CAST.grant)
    of_certificate = said(CAST.officer_signer, "certificate", doctor)
    of_grant = said(CAST.access_signer, "grant", granted)
    tells = {"person": "doctor", "reason": "Left", "at": ms(NOW + DAY)}
    right = {
        "of a certificate, by a certificate officer": (of_certificate, {"kind": "certificate", "target": doctor, **tells}),
        "of a certificate, by the root": (
            said(CAST.certificate_signer, "certificate", doctor),
            {"kind": "certificate", "target": doctor, **tells},
        ),
        "of a grant, by an access officer": (of_grant, {"kind": "grant", "target": granted, **tells}),
        "of a membership of nobody in particular, by the root": (
            said(CAST.root_signer, "membership", key(50), person=None),
            {"kind": "membership", "target": key(50), **tells, "person": None},
        ),
    }
    wrong = {
        "of a grant, by a certificate officer": (Refusal.MANDATE_MISSING, said(CAST.officer_signer, "grant", granted)),
        "of a certificate, by an access officer": (Refusal.MANDATE_MISSING, said(CAST.access_signer, "certificate", doctor)),
        "of a certificate, by the access root": (Refusal.MANDATE_MISSING, said(CAST.root_signer, "certificate", doctor)),
        "of a grant, by the certificate root": (Refusal.MALFORMED, said(CAST.certificate_signer, "grant", granted)),
        "of a grant, by its holder": (Refusal.MANDATE_MISSING, said(CAST.doctor_signer, "grant", granted)),
        "of a grant, after the office has ended": (
            Refusal.CERTIFICATE_EXPIRED,
            said(CAST.access_signer, "grant", granted, at=CAST.later + DAY),
        ),
        "of another kind": (Refusal.MALFORMED, resigned(of_grant, ACCESS_SEED, kind="zone")),
        "with a short target": (Refusal.MALFORMED, resigned(of_grant, ACCESS_SEED, target=bytes(31))),
        "with a moment after the year 9999": (Refusal.MALFORMED, resigned(of_grant, ACCESS_SEED, at=253_370_764_800_001)),
    }
    return [
        *(case(f"revocation {name}", "revocation", given(blob=blob), answer) for name, (blob, answer) in right.items()),
        *signature_cases("revocation", given(), "blob", of_certificate, OFFICER_SEED),
        *(refused(f"revocation {name}", "revocation", reason, given(blob=blob)) for name, (reason, blob) in wrong.items()),
    ]


def second() -> list[dict[str, Any]]:
    offices = grants.Offices(CAST.roots, revocations_certificates(), MANDATES)
    found = grants.authorised_grant(CAST.grant, offices, NOW)
    agreed = revocations.countersignature(SECOND_SIGNER, trust=TRUST, grant=found, at=NOW)
    at_once = given(grant=CAST.grant, now=ms(NOW))
    renewed = CAST.granted(epoch=1, zone_key=CAST.keys[0].key, seq=2, previous=envelope.digest(CAST.grant))
    longer = CAST.granted(live_until=CAST.later - DAY)
    terms = {"terms": revocations.terms_of(found)}
    wrong = {
        "nobody's": (CAST.grant, []),
        "the first officer's own": (CAST.grant, [revocations.countersignature(CAST.access_signer, trust=TRUST, grant=found, at=NOW)]),
        "the doctor's": (CAST.grant, [revocations.countersignature(CAST.doctor_signer, trust=TRUST, grant=found, at=NOW)]),
        "a certificate officer's": (CAST.grant, [revocations.countersignature(CAST.officer_signer, trust=TRUST, grant=found, at=NOW)]),
        "of another trust": (CAST.grant, [resigned(agreed, SECOND_SEED, trust="trust-2")]),
        "signed by another key": (CAST.grant, [resigned(agreed, key(99))]),
        "to other terms": (longer, [agreed]),
        "with a field that nobody knows": (CAST.grant, [resigned(agreed, SECOND_SEED, note="x")]),
    }
    return [
        case("a second officer's signature", "countersigned", {**at_once, "zone": ZONE, "blobs": [agreed]}, terms),
        case(
            "the root's signature as the second",
            "countersigned",
            {
                **at_once,
                "zone": ZONE,
                "blobs": [revocations.countersignature(CAST.root_signer, trust=TRUST, grant=found, at=NOW)],
            },
            terms,
        ),
        case("the same terms at another epoch", "countersigned", {**at_once, "zone": ZONE, "grant": renewed, "blobs": [agreed]}, terms),
        *(
            refused(
                f"second signature: {name}",
                "countersigned",
                Refusal.GRANT_ONE_OFFICER,
                {**at_once, "zone": ZONE, "grant": grant, "blobs": blobs},
            )
            for name, (grant, blobs) in wrong.items()
        ),
    ]


def revocations_certificates() -> Any:
    from cloister.zones.certificates import Certificates

    return Certificates(CAST.roots, [*CAST.certificates(), SECOND_DER])
