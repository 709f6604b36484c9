"""The vectors of docs/spec/zones.md, opened and recomputed. They were stored once: a change of a format fails here."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest

from cloister.audit import Frontier, entry_from_wire
from cloister.base.secret import Secret
from cloister.zones import (
    DossierKey,
    Keyring,
    TrustMaterial,
    TrustRoots,
    algorithms,
    bundle,
    commits,
    compression,
    dossiers,
    envelope,
    epochs,
    unlockers,
)
from cloister.zones.cbor import decoded, encoded
from cloister.zones.certificates import EXTENSION_OID
from cloister.zones.packing import packed

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "spec" / "vectors"


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def secret(text: str) -> Secret:
    return Secret(raw(text))


def test_primitives() -> None:
    v = vectors("primitives")
    assert algorithms.hkdf(raw(v["hkdf"]["key"]), v["hkdf"]["label"]).hex() == v["hkdf"]["out"]
    assert algorithms.aead_open(raw(v["aead"]["key"]), raw(v["aead"]["sealed"]), raw(v["aead"]["aad"])).hex() == v["aead"]["plain"]
    assert algorithms.kem_public(raw(v["hpke"]["seed"])).hex() == v["hpke"]["public"]
    assert algorithms.kem_open(raw(v["hpke"]["seed"]), raw(v["hpke"]["sealed"]), raw(v["hpke"]["info"])).hex() == v["hpke"]["plain"]
    assert algorithms.sign_public(raw(v["ed25519"]["seed"])).hex() == v["ed25519"]["public"]
    assert algorithms.sign(raw(v["ed25519"]["seed"]), raw(v["ed25519"]["message"])).hex() == v["ed25519"]["signature"]
    parts = [raw(part["hex"]) if isinstance(part, dict) else part for part in v["packed"]["parts"]]
    assert packed(v["packed"]["label"], *parts).hex() == v["packed"]["out"]
    assert encoded(v["cbor"]["value"]).hex() == v["cbor"]["out"]
    assert decoded(raw(v["cbor"]["out"])) == v["cbor"]["value"] == cbor2.loads(raw(v["cbor"]["out"]))
    e = v["envelope"]
    assert envelope.signed(e["label"], e["signer"], e["body"], raw(e["seed"])).hex() == e["out"]
    assert envelope.opened(e["label"], raw(e["out"]), raw(e["public"])) == e["body"]


def test_unlocking() -> None:
    v = vectors("unlocking")
    kek, verifier = unlockers.passphrase_secrets(v["passphrase"]["passphrase"], v["passphrase"]["params"])
    assert (kek.reveal().hex(), verifier.hex()) == (v["passphrase"]["kek"], v["passphrase"]["verifier"])
    assert unlockers.stored_verifier(verifier).hex() == v["passphrase"]["stored"]
    assert unlockers.PRF_SALT.hex() == v["passkey"]["prf_salt"]
    assert unlockers.passkey_kek(raw(v["passkey"]["prf"])).reveal().hex() == v["passkey"]["kek"]
    service, service_verifier = unlockers.service_secrets(raw(v["service"]["secret"]))
    assert (service.reveal().hex(), service_verifier.hex()) == (v["service"]["kek"], v["service"]["verifier"])
    u = v["unlocker"]
    unlocker = unlockers.Unlocker(u["id"], u["person"], u["kind"], u["params"], raw(u["sealed"]))
    assert unlockers.unwrap_unlock_key(kek, unlocker).reveal().hex() == u["unlock_key"]
    s = v["session_unlock"]
    assert unlockers.session_unlock_info(s["session"]).hex() == s["info"]
    assert algorithms.kem_open(raw(s["seed"]), raw(s["sealed"]), raw(s["info"])).hex() == s["kek"]
    b = v["bundle"]
    opened = bundle.open_bundle(b["person"], raw(b["sealed"]), secret(b["unlock_key"]))
    assert (opened.kem_seed.reveal().hex(), opened.sign_seed.reveal().hex()) == (b["kem_seed"], b["sign_seed"])


@pytest.fixture(name="keyring")
def doctors_keyring() -> Keyring:
    v = vectors("trust")
    roots = TrustRoots(v["trust"], raw(v["certificate_root_public"]), raw(v["access_root_public"]))
    doctor = bundle.Bundle(v["doctor"]["person"], secret(v["doctor"]["kem_seed"]), secret(v["doctor"]["sign_seed"]))
    names = ("certificates", "mandates", "grants", "zones", "epochs")
    material = TrustMaterial(**{name: [raw(one) for one in v[name]] for name in names})
    return Keyring.open(bundle=doctor, trust=roots, material=material, now=datetime.fromisoformat(v["now"]))


def test_trust(keyring: Keyring) -> None:
    v = vectors("trust")
    assert keyring.refused == []
    (zone,) = keyring.zones
    assert (zone.zone, zone.name, zone.ward, zone.epoch, zone.rights) == ("zone-1", "Ward 1", "ward-1", 2, {"read", "write"})
    assert keyring.index_key("zone-1").hex() == v["index_key"]
    for number, key in v["zone_keys"].items():
        assert epochs.EpochKeys("zone-1", int(number), secret(key)).commitment.hex() == v["commitments"][number]


def test_dossier(keyring: Keyring) -> None:
    v = vectors("dossier")
    opened = keyring.unwrap(v["wrapped"]["zone"], v["wrapped"]["epoch"], v["dossier"], v["key_no"], raw(v["wrapped"]["sealed"]))
    assert opened.reveal().hex() == v["key"]
    key = DossierKey(v["dossier"], v["key_no"], opened)
    assert key.commitment.hex() == v["commitment"]
    one = v["version"]
    compressed = key.open_version(v["trust"], one["rtype"], one["id"], one["version"], one["dict_no"], raw(one["sealed"]))
    assert compressed.hex() == one["compressed"]
    assert compression.decompress(one["dict_no"], compressed).decode() == one["plain"]
    entry = commits.version_entry(one["rtype"], one["id"], one["version"], False, raw(one["sealed"]))
    assert entry.hex() == one["entry"]
    assert commits.versions_digest([entry]).hex() == v["versions_digest"]
    part = v["index_part"]
    assert key.open_index_part(part["part_no"], raw(part["sealed"])).hex() == part["plain"]
    assert dossiers.parts_root({part["part_no"]: algorithms.sha256(raw(part["sealed"]))}).hex() == v["parts_root"]
    walked = commits.verify_chain([raw(blob) for blob in v["commits"]], keyring, dossier=v["dossier"], key=key)
    commits.check_versions(walked[0], [entry])
    commits.check_parts(walked[-1], {part["part_no"]: raw(part["sealed"])})
    shard = v["shard"]
    assert keyring.shard_open(shard["zone"], shard["part_no"], raw(shard["sealed"])).hex() == shard["plain"]


def test_audit() -> None:
    v = vectors("audit")
    entries = [entry_from_wire(body) for body in v["entries"]]
    assert entries[0].encoded().hex() == v["encoded"]
    frontier = Frontier()
    for place, entry in enumerate(entries):
        assert frontier.root().hex() == v["roots"][place]
        assert entry.leaf().hex() == v["leaves"][place]
        frontier.append(entry.leaf())
    assert frontier.root().hex() == v["roots"][-1]
    assert frontier.to_bytes().hex() == v["frontier"]


def test_the_written_format_shows_the_same_bytes_as_the_vectors() -> None:
    text = "".join((FOLDER.parent / "zones.md").read_text().split())
    v, u = vectors("primitives"), vectors("unlocking")
    shown = [v["cbor"]["out"], v["packed"]["out"], v["envelope"]["out"][:100], u["passphrase"]["kek"], u["passphrase"]["verifier"]]
    assert [one for one in [*shown, u["passkey"]["prf_salt"], EXTENSION_OID.dotted_string] if one not in text] == []
