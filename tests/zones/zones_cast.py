"""A small trust for the tests of the zones room: two officers, two clinicians, two wards, all keys real."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloister.base.errors import CloisterError
from cloister.base.secret import Secret
from cloister.zones import (
    DossierKey,
    Keyring,
    Refusal,
    TrustMaterial,
    TrustRoots,
    algorithms,
    bundle,
    certificates,
    envelope,
    epochs,
    grants,
)

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TRUST = "chu-test"
WARD, OTHER_WARD = "zone-ward", "zone-other"


class refused:
    """`with refused(Refusal.TAG):` the block raises exactly this refusal, as Forged or Refused and nothing else."""

    def __init__(self, *reasons: Refusal) -> None:
        self.reasons = {reason.value for reason in reasons}

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            pytest.fail(f"nothing was refused, expected {self.reasons}")
        if not isinstance(error, CloisterError):
            return False
        assert error.reason in self.reasons, f"{error.reason} instead of {self.reasons}"
        assert error.text
        return True


class at_most_refused(refused):
    """The block may pass; when it raises, then one of these refusals and nothing else."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        return error is None or super().__exit__(kind, error, trace)


class Trust:
    """IT's Inès certifies, the medical Marc grants; Adèle and Bruno are clinicians."""

    def __init__(self) -> None:
        self.certificate_root, self.root_der = certificates.new_root("Test certificate root")
        self.access_root = Secret(algorithms.random(32))
        self.roots = TrustRoots(TRUST, certificates.public_of(self.root_der), algorithms.sign_public(self.access_root.reveal()))
        self.ines, self.marc = bundle.new_bundle("ines"), bundle.new_bundle("marc")
        self.adele, self.bruno = bundle.new_bundle("adele"), bundle.new_bundle("bruno")
        self.ines_der = self.certify(self.ines, "certificate", seed=self.certificate_root, issuer=self.root_der)
        self.marc_der = self.certify(self.marc, "access")
        self.adele_der, self.bruno_der = self.certify(self.adele), self.certify(self.bruno)
        self.mandates = [
            grants.mandate(self.certificate_root, "certificate", digest(self.ines_der), "ines", "hold", None, NOW + 365 * DAY, trust=TRUST),
            self.access_mandate(self.marc, self.marc_der),
        ]
        self.root_signer = envelope.access_root(self.access_root)
        self.marc_signer = envelope.person_signer(digest(self.marc_der), self.marc.signing)
        self.keys = {zone: epochs.EpochKeys(zone, 1, epochs.new_zone_key()) for zone in (WARD, OTHER_WARD)}
        self.index_keys = {zone: epochs.new_index_key() for zone in self.keys}
        self.zones = [self.zone_record(zone) for zone in self.keys]
        self.epochs = [self.epoch_record(keys) for keys in self.keys.values()]

    def certify(
        self,
        who: bundle.Bundle,
        office: str | None = None,
        *,
        seed: Secret | None = None,
        issuer: bytes | None = None,
        days: int = 365,
        now: datetime = NOW - DAY,
    ) -> bytes:
        officer = seed or self.ines.sign_seed
        der = issuer or self.ines_der
        return certificates.certificate(officer, der, who.person, who.person.title(), who.sign_public, who.kem_public, office, days, now)

    def access_mandate(self, who: bundle.Bundle, der: bytes, **changed: Any) -> bytes:
        terms = {"ceiling": "write", "zones": None, "not_after": NOW + 365 * DAY, **changed}
        return grants.mandate(self.access_root, "access", digest(der), who.person, trust=TRUST, **terms)

    def zone_record(self, zone: str, **changed: Any) -> bytes:
        terms = {"name": zone, "hospital": "chu", "ward": None, "policy": {}, "made": NOW - DAY, **changed}
        signer = terms.pop("signer", self.root_signer)
        return epochs.zone_record(signer, trust=TRUST, zone=zone, **terms)

    def epoch_record(self, keys: epochs.EpochKeys, previous: Secret | None = None, **changed: Any) -> bytes:
        terms = {"made": NOW - DAY, "index_key": self.index_keys.get(keys.zone) or epochs.new_index_key(), **changed}
        signer = terms.pop("signer", self.root_signer)
        return epochs.epoch_record(signer, trust=TRUST, keys=keys, previous=previous, **terms)

    def grant(self, who: bundle.Bundle | None = None, der: bytes | None = None, zone: str = WARD, **changed: Any) -> bytes:
        person = who or self.adele
        terms: dict[str, Any] = {
            "trust": TRUST,
            "zone": zone,
            "epoch": 1,
            "floor": 1,
            "person": person.person,
            "certificate": digest(der or (self.adele_der if person is self.adele else self.bruno_der)),
            "kem_public": person.kem_public,
            "zone_key": self.keys[zone].key if zone in self.keys else None,
            "right": "write",
            "not_before": NOW - DAY,
            "live_until": NOW + 30 * DAY,
            "reason": "Works here",
            **changed,
        }
        return grants.sign_grant(terms.pop("signer", self.marc_signer), **terms)

    def material(self, *given: bytes, **changed: Any) -> TrustMaterial:
        ders = [self.root_der, self.ines_der, self.marc_der, self.adele_der, self.bruno_der]
        whole = TrustMaterial(certificates=ders, mandates=self.mandates, grants=given, zones=self.zones, epochs=self.epochs)
        return replace(whole, **changed)

    def keyring(self, *given: bytes, who: bundle.Bundle | None = None, now: datetime = NOW, **changed: Any) -> Keyring:
        return Keyring.open(bundle=who or self.adele, trust=self.roots, material=self.material(*given, **changed), now=now)

    def only_refusal(self, *given: bytes, **changed: Any) -> Refusal:
        """The one reason for which Adèle's keyring did not use the one thing that is wrong."""
        keyring = self.keyring(*given, **changed)
        assert keyring.zones == []
        assert len(keyring.refused) == 1, keyring.refused
        return keyring.refused[0][1]


def digest(der: bytes) -> bytes:
    return algorithms.sha256(der)


def dossier_key(dossier: str = "dossier-1", key_no: int = 1) -> DossierKey:
    return DossierKey(dossier, key_no, Secret(algorithms.random(32)))
