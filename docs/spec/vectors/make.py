"""Makes the vectors of docs/spec/zones.md. Run: .venv/bin/python docs/spec/vectors/make.py

Keys and ids are fixed. Nonces, HPKE encapsulations and certificate serial numbers are random, so a second run
gives other ciphertexts of the same meaning: `tests/zones/test_vectors.py` opens and recomputes what is stored.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cloister.audit import Entry, Frontier
from cloister.audit.checkpoint import checkpoint_message
from cloister.base.secret import Secret
from cloister.zones import (
    DossierKey,
    Keyring,
    TrustMaterial,
    TrustRoots,
    algorithms,
    bundle,
    certificates,
    commits,
    compression,
    dossiers,
    envelope,
    epochs,
    grants,
    unlockers,
)
from cloister.zones.cbor import encoded
from cloister.zones.packing import packed

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
TRUST, ZONE, DOSSIER = "trust-1", "zone-1", "0193fd6e-0000-7000-8000-000000000001"
LABEL = "cloister/unlock/v1/passkey"
OBSERVATION = "0193fd6e-0000-7000-8000-000000000002"


def key(n: int) -> bytes:
    return bytes(range(n, n + 32))


def primitives() -> dict[str, Any]:
    sealed = algorithms.aead_seal(key(0), b"plain", b"bound")
    public = algorithms.kem_public(key(1))
    return {
        "hkdf": {
            "key": key(0).hex(),
            "label": "cloister/unlock/v1/passkey",
            "out": algorithms.hkdf(key(0), "cloister/unlock/v1/passkey").hex(),
        },
        "aead": {"key": key(0).hex(), "aad": b"bound".hex(), "plain": b"plain".hex(), "sealed": sealed.hex()},
        "hpke": {
            "seed": key(1).hex(),
            "public": public.hex(),
            "info": b"info".hex(),
            "plain": key(2).hex(),
            "sealed": algorithms.kem_seal(public, key(2), b"info").hex(),
        },
        "ed25519": {
            "seed": key(3).hex(),
            "public": algorithms.sign_public(key(3)).hex(),
            "message": b"message".hex(),
            "signature": algorithms.sign(key(3), b"message").hex(),
        },
        "packed": {
            "label": "cloister/example/v1",
            "parts": ["text", {"hex": "00ff"}, 7],
            "out": packed("cloister/example/v1", "text", b"\x00\xff", 7).hex(),
        },
        "cbor": {"value": {"b": [1, -1, None, True], "aa": "é"}, "out": encoded({"b": [1, -1, None, True], "aa": "é"}).hex()},
        "envelope": {
            "label": "cloister/example/v1",
            "signer": "root/access",
            "body": {"text": "hello", "number": 1},
            "seed": key(3).hex(),
            "public": algorithms.sign_public(key(3)).hex(),
            "out": envelope.signed("cloister/example/v1", "root/access", {"text": "hello", "number": 1}, key(3)).hex(),
        },
    }


def unlocking() -> dict[str, Any]:
    params = {"salt": bytes(range(16)).hex(), "passes": 3, "memory_kib": 65_536, "lanes": 4}
    text = "correct cheval batterie \u00e9tag\u00e8re \ufb01n"  # NFKC makes "fi" of the ligature
    kek, verifier = unlockers.passphrase_secrets(text, params)
    service_kek, service_verifier = unlockers.service_secrets(key(5))
    unlocker = unlockers.wrap_unlock_key(kek, "unlocker-1", "person-1", "passphrase", params, Secret(key(6)))
    private = bundle.Bundle("person-1", Secret(key(7)), Secret(key(8)))
    session_public = algorithms.kem_public(key(9))
    info = unlockers.session_unlock_info("session-1")
    return {
        "passphrase": {
            "passphrase": text,
            "params": params,
            "kek": kek.reveal().hex(),
            "verifier": verifier.hex(),
            "stored": unlockers.stored_verifier(verifier).hex(),
        },
        "passkey": {"prf_salt": unlockers.PRF_SALT.hex(), "prf": key(4).hex(), "kek": unlockers.passkey_kek(key(4)).reveal().hex()},
        "service": {"secret": key(5).hex(), "kek": service_kek.reveal().hex(), "verifier": service_verifier.hex()},
        "unlocker": {
            "id": "unlocker-1",
            "person": "person-1",
            "kind": "passphrase",
            "params": params,
            "sealed": unlocker.sealed.hex(),
            "unlock_key": key(6).hex(),
        },
        "session_unlock": {
            "session": "session-1",
            "seed": key(9).hex(),
            "info": info.hex(),
            "kek": kek.reveal().hex(),
            "sealed": algorithms.kem_seal(session_public, kek.reveal(), info).hex(),
        },
        "bundle": {
            "person": "person-1",
            "unlock_key": key(6).hex(),
            "kem_seed": key(7).hex(),
            "sign_seed": key(8).hex(),
            "sealed": bundle.seal_bundle(private, Secret(key(6))).hex(),
        },
    }


class Cast:
    """One trust with a certificate officer, an access officer and a doctor, all from fixed seeds."""

    def __init__(self) -> None:
        self.root_seed, self.root_der = certificates.new_root("Vector certificate root")
        self.access_seed = Secret(key(20))
        self.officer = bundle.Bundle("certificate-officer", Secret(key(21)), Secret(key(22)))
        self.access = bundle.Bundle("access-officer", Secret(key(23)), Secret(key(24)))
        self.doctor = bundle.Bundle("doctor", Secret(key(7)), Secret(key(8)))
        self.officer_der = self._certified(self.root_seed, self.root_der, self.officer, "certificate")
        self.access_der = self._certified(self.officer.sign_seed, self.officer_der, self.access, "access")
        self.doctor_der = self._certified(self.officer.sign_seed, self.officer_der, self.doctor, None)
        self.roots = TrustRoots(TRUST, certificates.public_of(self.root_der), algorithms.sign_public(self.access_seed.reveal()))
        later = NOW + timedelta(days=365)
        self.mandates = [
            grants.mandate(
                self.root_seed, "certificate", algorithms.sha256(self.officer_der), self.officer.person, "hold", None, later, trust=TRUST
            ),
            grants.mandate(
                self.access_seed, "access", algorithms.sha256(self.access_der), self.access.person, "write", None, later, trust=TRUST
            ),
        ]
        root = envelope.access_root(self.access_seed)
        self.zone = epochs.zone_record(
            root, trust=TRUST, zone=ZONE, name="Ward 1", hospital="hospital-1", ward="ward-1", policy={}, made=NOW
        )
        keys = epochs.EpochKeys(ZONE, 1, Secret(key(30)))
        newer = epochs.EpochKeys(ZONE, 2, Secret(key(31)))
        index_key = Secret(key(32))
        self.epochs = [
            epochs.epoch_record(root, trust=TRUST, keys=keys, index_key=index_key, previous=None, made=NOW),
            epochs.epoch_record(root, trust=TRUST, keys=newer, index_key=index_key, previous=keys.key, made=NOW),
        ]
        self.grant = grants.sign_grant(
            envelope.person_signer(algorithms.sha256(self.access_der), self.access.signing),
            trust=TRUST,
            zone=ZONE,
            epoch=2,
            floor=1,
            person=self.doctor.person,
            certificate=algorithms.sha256(self.doctor_der),
            kem_public=self.doctor.kem_public,
            zone_key=newer.key,
            right="write",
            not_before=NOW,
            live_until=later,
            reason="Works on ward 1",
        )

    def _certified(self, seed: Secret, der: bytes, who: bundle.Bundle, office: str | None) -> bytes:
        return certificates.certificate(seed, der, who.person, who.person, who.sign_public, who.kem_public, office, 365, NOW)

    def material(self) -> TrustMaterial:
        ders = [self.root_der, self.officer_der, self.access_der, self.doctor_der]
        return TrustMaterial(certificates=ders, mandates=self.mandates, grants=[self.grant], zones=[self.zone], epochs=self.epochs)

    def keyring(self) -> Keyring:
        return Keyring.open(bundle=self.doctor, trust=self.roots, material=self.material(), now=NOW)


def trust(cast: Cast) -> dict[str, Any]:
    return {
        "now": NOW.isoformat(),
        "trust": TRUST,
        "certificate_root_public": cast.roots.certificate_root_public.hex(),
        "access_root_public": cast.roots.access_root_public.hex(),
        "certificates": [der.hex() for der in (cast.root_der, cast.officer_der, cast.access_der, cast.doctor_der)],
        "mandates": [blob.hex() for blob in cast.mandates],
        "zones": [cast.zone.hex()],
        "epochs": [blob.hex() for blob in cast.epochs],
        "grants": [cast.grant.hex()],
        "doctor": {"person": "doctor", "kem_seed": key(7).hex(), "sign_seed": key(8).hex()},
        "zone_keys": {"1": key(30).hex(), "2": key(31).hex()},
        "index_key": key(32).hex(),
        "commitments": {str(n): epochs.EpochKeys(ZONE, n, Secret(key(29 + n))).commitment.hex() for n in (1, 2)},
    }


def dossier(cast: Cast) -> dict[str, Any]:
    keyring = cast.keyring()
    opened = DossierKey(DOSSIER, 1, Secret(key(40)))
    plain = b'{"resourceType":"Observation","status":"final"}'
    compressed = compression.compress(plain, 0)
    sealed = opened.seal_version(TRUST, "Observation", OBSERVATION, 1, 0, compressed)
    part = opened.seal_index_part(0, b"index part")
    root = dossiers.parts_root({0: algorithms.sha256(part)})
    entries = [commits.version_entry("Observation", OBSERVATION, 1, False, sealed)]
    moment = int(NOW.timestamp() * 1000)
    first = commits.sign_commit(keyring, opened, seq=1, previous=commits.NO_PREVIOUS, versions=entries, parts=root, milliseconds=moment)
    second = commits.sign_commit(keyring, opened, seq=2, previous=envelope.digest(first), versions=[], parts=root, milliseconds=moment + 1)
    return {
        "trust": TRUST,
        "dossier": DOSSIER,
        "key_no": 1,
        "key": key(40).hex(),
        "commitment": opened.commitment.hex(),
        "wrapped": {"zone": ZONE, "epoch": 2, "sealed": keyring.wrap(ZONE, DOSSIER, 1, Secret(key(40))).hex()},
        "version": {
            "rtype": "Observation",
            "id": OBSERVATION,
            "version": 1,
            "dict_no": 0,
            "plain": plain.decode(),
            "compressed": compressed.hex(),
            "sealed": sealed.hex(),
            "entry": entries[0].hex(),
        },
        "index_part": {"part_no": 0, "plain": b"index part".hex(), "sealed": part.hex()},
        "parts_root": root.hex(),
        "versions_digest": commits.versions_digest(entries).hex(),
        "commits": [first.hex(), second.hex()],
        "shard": {"zone": ZONE, "part_no": 3, "plain": b"shard".hex(), "sealed": keyring.shard_seal(ZONE, 3, b"shard").hex()},
    }


def audit() -> dict[str, Any]:
    entries = [
        Entry(NOW + timedelta(microseconds=n), f"person-{n}", "session-1", "read", "Observation", OBSERVATION, "success", "", "server-1")
        for n in range(7)
    ]
    frontier = Frontier()
    roots = [frontier.root().hex()]
    for entry in entries:
        frontier.append(entry.leaf())
        roots.append(frontier.root().hex())
    return {
        "entries": [entry.as_wire() for entry in entries],
        "encoded": entries[0].encoded().hex(),
        "leaves": [entry.leaf().hex() for entry in entries],
        "roots": roots,
        "frontier": frontier.to_bytes().hex(),
        "checkpoint": checkpoint_message(TRUST, frontier.size, frontier.root(), NOW).decode(),
    }


def main() -> None:
    cast = Cast()
    groups = {"primitives": primitives(), "unlocking": unlocking(), "trust": trust(cast), "dossier": dossier(cast), "audit": audit()}
    for name, group in groups.items():
        (HERE / f"{name}.json").write_text(json.dumps(group, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
