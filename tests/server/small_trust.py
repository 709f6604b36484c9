"""A trust of two nurses and a program, with real keys, as the store gate would hand it out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cloister.base.secret import Secret
from cloister.zones import TrustRoots, algorithms, bundle, certificates, envelope, epochs, grants, unlockers

TRUST = "small"
ZONE = "zone-ward"
DAY = timedelta(days=1)
PEOPLE = {"adele": ("Adèle Martin", "nurse"), "bruno": ("Bruno Petit", "nurse"), "lab": ("Laboratory", "program")}


def digest(raw: bytes) -> bytes:
    return algorithms.sha256(raw)


class SmallTrust:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        root, self.root_der = certificates.new_root("Small root")
        access = Secret(algorithms.random(32))
        self.roots = TrustRoots(TRUST, certificates.public_of(self.root_der), algorithms.sign_public(access.reveal()))
        ines, marc = bundle.new_bundle("ines"), bundle.new_bundle("marc")
        ines_der = self._certificate(root, self.root_der, ines, "certificate")
        self._officer = (ines.sign_seed, ines_der)
        marc_der = self._certificate(*self._officer, marc, "access")
        late = self.now + 365 * DAY
        self.mandates = [
            grants.mandate(root, "certificate", digest(ines_der), "ines", "hold", None, late, trust=TRUST),
            grants.mandate(access, "access", digest(marc_der), "marc", "write", None, late, trust=TRUST),
        ]
        signer = envelope.access_root(access)
        self._keys = epochs.EpochKeys(ZONE, 1, epochs.new_zone_key())
        made = self.now - DAY
        self.zones = [epochs.zone_record(signer, trust=TRUST, zone=ZONE, name="Ward", hospital="chu", ward="w1", policy={}, made=made)]
        self.epochs = [
            epochs.epoch_record(signer, trust=TRUST, keys=self._keys, index_key=epochs.new_index_key(), previous=None, made=made)
        ]
        self._marc = envelope.person_signer(digest(marc_der), marc.signing)
        self.certificates = [self.root_der, ines_der, marc_der]
        self.secrets = {person: algorithms.random(32) for person in PEOPLE}
        self._rows = {person: self._person(person) for person in PEOPLE}

    def rows(self, person: str) -> dict[str, Any]:
        shared = {"hospitals": [], "wards": [], "people": [], "trust": {"id": TRUST}}
        return {**shared, **self._rows[person]}

    def kek(self, person: str) -> bytes:
        return unlockers.service_secrets(self.secrets[person])[0].reveal()

    def unlock_message(self, person: str, session: str, public_key: bytes, *, kek: bytes | None = None) -> bytes:
        return algorithms.kem_seal(public_key, kek or self.kek(person), unlockers.session_unlock_info(session))

    def _certificate(self, seed: Secret, issuer: bytes, who: bundle.Bundle, office: str | None) -> bytes:
        return certificates.certificate(seed, issuer, who.person, who.person, who.sign_public, who.kem_public, office, 365, self.now - DAY)

    def _person(self, person: str) -> dict[str, Any]:
        own = bundle.new_bundle(person)
        der = self._certificate(*self._officer, own, None)
        grant = grants.sign_grant(
            self._marc, trust=TRUST, zone=ZONE, epoch=1, floor=1, person=person, certificate=digest(der), kem_public=own.kem_public,
            zone_key=self._keys.key, right="write", not_before=self.now - DAY, live_until=self.now + 30 * DAY, reason="Works here",
        )  # fmt: skip
        key = bundle.new_unlock_key()
        wrapped = unlockers.wrap_unlock_key(Secret(self.kek(person)), f"u-{person}", person, "service", {}, key)
        name, role = PEOPLE[person]
        rows = [{"hash": digest(one), "person": "", "der": one, "revoked": False} for one in (*self.certificates, der)]
        return {
            "person": {"id": person, "sign_in": person, "name": name, "kind": "person", "role": role, "hospital": "chu", "language": "fr"},
            "identity": {"person": person, "sealed_private": bundle.seal_bundle(own, key)},
            "unlockers": [{"id": wrapped.id, "kind": wrapped.kind, "params": wrapped.params, "sealed": wrapped.sealed}],
            "certificates": rows,
            "mandates": [{"body": body} for body in self.mandates],
            "grants": [{"hash": digest(grant), "zone": ZONE, "seq": 1, "body": grant, "revoked": False}],
            "zones": [{"id": ZONE, "body": self.zones[0]}],
            "epochs": [{"zone": ZONE, "epoch": 1, "body": self.epochs[0]}],
            "revoked": [],
        }
