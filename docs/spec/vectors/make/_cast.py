"""What the sections share: fixed keys and one small trust with its officers and a doctor. Not a section itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cloister.base.secret import Secret
from cloister.zones import Keyring, Refusal, TrustMaterial, TrustRoots, algorithms, bundle, certificates, envelope, epochs, grants
from cloister.zones.cbor import encoded

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TRUST, ZONE, DOSSIER = "trust-1", "zone-1", "0193fd6e-0000-7000-8000-000000000001"
OBSERVATION = "0193fd6e-0000-7000-8000-000000000002"
# The audit room's own names.
AUDIT_REFUSALS = {"inclusion", "consistency", "frontier", "checkpoint", "entry", "note", "origin", "signature"}


def case(name: str, format: str, given: dict[str, Any], gives: dict[str, Any] | None = None, expect: str = "success") -> dict[str, Any]:
    """One case. Refused cases say `expect=Refusal.…` and give nothing. Bytes are written as hex."""
    assert (gives is not None) == (expect == "success"), name
    assert expect == "success" or expect in {*Refusal, *AUDIT_REFUSALS}, expect
    answer = {} if gives is None else {"gives": gives}
    return {"case": name, "format": format, "expect": str(expect), "given": given, **answer}


def refused(name: str, format: str, expect: Refusal, given: dict[str, Any]) -> dict[str, Any]:
    return case(name, format, given, expect=expect)


def key(n: int) -> bytes:
    return bytes(range(n, n + 32))


def ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC, as the formats have them."""
    return int(moment.timestamp() * 1000)


def shown(value: Any) -> Any:
    """A CBOR value as JSON: bytes stand as {"hex": …}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items()}
    return [shown(inner) for inner in value] if isinstance(value, list) else value


def flipped(blob: bytes, at: int = -1) -> bytes:
    """The same with one bit changed."""
    changed = bytearray(blob)
    changed[at] ^= 1
    return bytes(changed)


class Cast:
    """One trust with a certificate officer, an access officer and a doctor, all from fixed seeds."""

    def __init__(self) -> None:
        self.root_seed, self.root_der = certificates.new_root("Vector certificate root")
        self.access_seed = Secret(key(20))
        self.officer = bundle.Bundle("certificate-officer", Secret(key(21)), Secret(key(22)))
        self.access = bundle.Bundle("access-officer", Secret(key(23)), Secret(key(24)))
        self.doctor = bundle.Bundle("doctor", Secret(key(7)), Secret(key(8)))
        self.officer_der = self.certified(self.officer, "certificate", self.root_seed, self.root_der)
        self.access_der = self.certified(self.access, "access")
        self.doctor_der = self.certified(self.doctor)
        self.roots = TrustRoots(TRUST, certificates.public_of(self.root_der), algorithms.sign_public(self.access_seed.reveal()))
        self.later = NOW + 365 * DAY
        self.certificate_signer = envelope.certificate_root(self.root_seed)
        self.root_signer = envelope.access_root(self.access_seed)
        self.officer_signer = envelope.person_signer(algorithms.sha256(self.officer_der), self.officer.signing)
        self.access_signer = envelope.person_signer(algorithms.sha256(self.access_der), self.access.signing)
        self.doctor_signer = envelope.person_signer(algorithms.sha256(self.doctor_der), self.doctor.signing)
        self.mandates = [
            self.mandate(self.root_seed, "certificate", self.officer_der, self.officer.person, ceiling="hold"),
            self.mandate(self.access_seed, "access", self.access_der, self.access.person),
        ]
        self.zone = epochs.zone_record(
            self.root_signer, trust=TRUST, zone=ZONE, name="Ward 1", hospital="hospital-1", ward="ward-1", policy={}, made=NOW
        )
        self.keys = [epochs.EpochKeys(ZONE, 1, Secret(key(30))), epochs.EpochKeys(ZONE, 2, Secret(key(31)))]
        self.index_key = Secret(key(32))
        self.epochs = [self.epoch(self.keys[0], None), self.epoch(self.keys[1], self.keys[0].key)]
        self.grant = self.granted()

    def certified(
        self,
        who: bundle.Bundle,
        office: str | None = None,
        seed: Secret | None = None,
        issuer: bytes | None = None,
        *,
        days: int = 365,
        now: datetime = NOW,
    ) -> bytes:
        return certificates.certificate(
            seed or self.officer.sign_seed,
            issuer or self.officer_der,
            who.person,
            who.person,
            who.sign_public,
            who.kem_public,
            office,
            days,
            now,
        )

    def mandate(self, seed: Secret, office: str, der: bytes, person: str, **changed: Any) -> bytes:
        terms = {"ceiling": "write", "zones": None, "not_after": self.later, "trust": TRUST, **changed}
        return grants.mandate(seed, office, algorithms.sha256(der), person, **terms)

    def epoch(self, keys: epochs.EpochKeys, previous: Secret | None, **changed: Any) -> bytes:
        terms = {"trust": TRUST, "index_key": self.index_key, "made": NOW, **changed}
        return epochs.epoch_record(terms.pop("signer", self.root_signer), keys=keys, previous=previous, **terms)

    def granted(self, **changed: Any) -> bytes:
        """A grant of the access officer to the doctor, with whatever is changed."""
        terms = {
            "trust": TRUST,
            "zone": ZONE,
            "epoch": 2,
            "floor": 1,
            "person": self.doctor.person,
            "certificate": algorithms.sha256(self.doctor_der),
            "kem_public": self.doctor.kem_public,
            "zone_key": self.keys[1].key,
            "right": "write",
            "not_before": NOW,
            "live_until": self.later,
            "reason": "Works on ward 1",
            **changed,
        }
        return grants.sign_grant(terms.pop("signer", self.access_signer), **terms)

    def roots_given(self) -> dict[str, Any]:
        """The pinned roots, as cases have them."""
        return {
            "trust": TRUST,
            "certificate_root": self.roots.certificate_root_public,
            "access_root": self.roots.access_root_public,
        }

    def certificates(self) -> list[bytes]:
        return [self.root_der, self.officer_der, self.access_der, self.doctor_der]

    def material(self) -> TrustMaterial:
        return TrustMaterial(
            certificates=self.certificates(), mandates=self.mandates, grants=[self.grant], zones=[self.zone], epochs=self.epochs
        )

    def keyring(self) -> Keyring:
        return Keyring.open(bundle=self.doctor, trust=self.roots, material=self.material(), now=NOW)


CAST = Cast()


def made(label: str, signer: str, body: Any, seed: bytes, algorithm: int = 1) -> bytes:
    """An envelope by hand, correctly signed whatever stands in it."""
    inner = body if isinstance(body, bytes) else encoded(body)
    return encoded([label, algorithm, signer, inner, algorithms.sign(seed, encoded([label, algorithm, signer, inner]))])


def resigned(blob: bytes, seed: bytes, *, label: str | None = None, signer: str | None = None, without: str = "", **changed: Any) -> bytes:
    """The same object with other fields, signed anew."""
    body = {name: value for name, value in {**envelope.peek_body(blob), **changed}.items() if name != without}
    return made(label or envelope.peek_label(blob), signer or envelope.peek_signer(blob), body, seed)


def signature_cases(format: str, given: dict[str, Any], name: str, blob: bytes, seed: bytes) -> list[dict[str, Any]]:
    """What every signed object refuses, whatever it is: `given[name]` is replaced."""
    number = next(key for key, value in envelope.peek_body(blob).items() if isinstance(value, int | str))
    whole = encoded(envelope.peek_body(blob))
    wrong = {
        "another label": (Refusal.LABEL, resigned(blob, seed, label="cloister/other/v1")),
        "the second algorithm": (Refusal.ALGORITHM, made(envelope.peek_label(blob), envelope.peek_signer(blob), whole, seed, 2)),
        "signed by another key": (Refusal.SIGNATURE, resigned(blob, key(99))),
        "a changed signature": (Refusal.SIGNATURE, flipped(blob)),
        "cut short": (Refusal.MALFORMED, blob[:-1]),
        "something after the end": (Refusal.MALFORMED, blob + b"\x00"),
        "a field that nobody knows": (Refusal.MALFORMED, resigned(blob, seed, **{"note": "x"})),
        "a field missing": (Refusal.MALFORMED, resigned(blob, seed, without=number)),
        "a field of another type": (Refusal.MALFORMED, resigned(blob, seed, **{number: b"x"})),
        "a body that is not canonical": (Refusal.MALFORMED, made(envelope.peek_label(blob), envelope.peek_signer(blob), b"\xb8\x00", seed)),
        "another trust": (Refusal.TRUST, resigned(blob, seed, trust="trust-2")),
    }
    return [refused(f"{format}: {what}", format, reason, {**given, name: changed}) for what, (reason, changed) in wrong.items()]
