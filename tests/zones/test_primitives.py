"""The primitives against the vectors of their standards (PyPI `cryptography_vectors`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.bindings._rust import openssl as rust_openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from zones_cast import refused

from cloister.zones import Refusal, algorithms

VECTORS = Path(cryptography_vectors.__file__).parent
XWING = 0x647A
BASE_MODE = 0


def hpke_vectors(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((VECTORS / "HPKE" / name).read_text())
    return [vector for vector in vectors if vector["mode"] == BASE_MODE]


KEMS = {0x0010: ("P256", ec.SECP256R1), 0x0011: ("P384", ec.SECP384R1), 0x0012: ("P521", ec.SECP521R1), 0x0020: ("X25519", None)}
KDFS = {1: hpke.KDF.HKDF_SHA256, 2: hpke.KDF.HKDF_SHA384, 3: hpke.KDF.HKDF_SHA512, 0x10: hpke.KDF.SHAKE128, 0x11: hpke.KDF.SHAKE256}
AEADS = {1: hpke.AEAD.AES_128_GCM, 2: hpke.AEAD.AES_256_GCM, 3: hpke.AEAD.CHACHA20_POLY1305}


def test_hpke_base_mode_opens_every_supported_vector_of_rfc_9180() -> None:
    opened = 0
    for vector in hpke_vectors("test-vectors.json"):
        if vector["kem_id"] not in KEMS or vector["aead_id"] not in AEADS:
            continue
        name, curve = KEMS[vector["kem_id"]]
        raw = bytes.fromhex(vector["skRm"])
        number = int.from_bytes(raw, "big")
        private = x25519.X25519PrivateKey.from_private_bytes(raw) if curve is None else ec.derive_private_key(number, curve())
        suite = hpke.Suite(getattr(hpke.KEM, name), KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]])
        opened += open_first(suite, private, vector)
    assert opened >= 12


def test_our_expansion_of_the_seed_opens_the_hybrid_vectors() -> None:
    vectors = [vector for vector in hpke_vectors("hpke-pq-test-vectors.json") if vector["kem_id"] == XWING]
    assert len(vectors) == 2
    for vector in vectors:
        private = algorithms.KemPrivate(bytes.fromhex(vector["skRm"]))
        assert private.public.hex() == vector["pkRm"]
        suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]])
        assert open_first(suite, private._key, vector)


def open_first(suite: hpke.Suite, private: Any, vector: dict[str, Any]) -> bool:
    """The vectors carry additional data, which only the private call takes; we use `info` alone."""
    first = vector["encryptions"][0]
    sealed = bytes.fromhex(vector["enc"] + first["ct"])
    plain = rust_openssl.hpke._decrypt_with_aad(suite, sealed, private, bytes.fromhex(vector["info"]), bytes.fromhex(first["aad"]))
    return plain.hex() == first["pt"]


def gcm_vectors() -> Iterator[dict[str, str]]:
    case: dict[str, str] = {}
    for line in (VECTORS / "ciphers/AES/GCM/gcmDecrypt256.rsp").read_text().splitlines():
        if line.startswith("[") and "=" in line:
            name, value = line.strip("[]").split(" = ")
            case = {**case, name: value}
        elif line.startswith("Count"):
            case = {name: case[name] for name in ("Keylen", "IVlen", "PTlen", "AADlen", "Taglen")}
        elif "=" in line:
            name, value = line.split("=")
            case[name.strip()] = value.strip()
        elif line.strip() == "FAIL":
            case["FAIL"] = "1"
        if not line.strip() and "Tag" in case:
            yield case
            case = {name: case[name] for name in ("Keylen", "IVlen", "PTlen", "AADlen", "Taglen")}


def test_aes_gcm_agrees_with_nist_and_refuses_what_nist_refuses() -> None:
    good = bad = 0
    for case in gcm_vectors():
        if case["IVlen"] != "96" or case["Taglen"] != "128":
            continue
        sealed = bytes.fromhex(case["IV"] + case["CT"] + case["Tag"])
        if "FAIL" in case:
            with refused(Refusal.TAG):
                algorithms.aead_open(bytes.fromhex(case["Key"]), sealed, bytes.fromhex(case["AAD"]))
            bad += 1
        else:
            assert algorithms.aead_open(bytes.fromhex(case["Key"]), sealed, bytes.fromhex(case["AAD"])).hex() == case["PT"]
            good += 1
    assert good >= 100
    assert bad >= 100


def test_hkdf_agrees_with_rfc_5869_test_case_3() -> None:
    out = algorithms.hkdf(b"\x0b" * 22, "", length=42)
    assert out.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


def hkdf_reference(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt or None, info).derive(key)


@given(st.binary(max_size=64), st.text(max_size=40), st.integers(1, 200), st.binary(max_size=40))
def test_hkdf_agrees_with_the_library_for_every_label(key: bytes, label: str, length: int, salt: bytes) -> None:
    assert algorithms.hkdf(key, label, length=length, salt=salt) == hkdf_reference(key, salt, label.encode(), length)


@given(st.binary(max_size=200), st.binary(max_size=50), st.data())
def test_any_changed_bit_of_a_sealed_message_is_refused(plain: bytes, aad: bytes, data: st.DataObject) -> None:
    key = algorithms.random(32)
    sealed = algorithms.aead_seal(key, plain, aad)
    assert algorithms.aead_open(key, sealed, aad) == plain
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[place // 8] ^= 1 << place % 8
    for wrong in (bytes(changed), sealed[: data.draw(st.integers(0, len(sealed) - 1))], sealed + b"\0"):
        with refused(Refusal.TAG):
            algorithms.aead_open(key, wrong, aad)
    with refused(Refusal.TAG):
        algorithms.aead_open(key, sealed, aad + b"x")


@given(st.binary(max_size=1300))
def test_any_bytes_given_to_hpke_are_refused_by_name(junk: bytes) -> None:
    private = algorithms.KemPrivate(bytes(32))
    with refused(Refusal.TAG):
        private.open(junk, b"info")


def test_hpke_context_and_recipient_are_bound() -> None:
    seed = algorithms.random(32)
    sealed = algorithms.kem_seal(algorithms.kem_public(seed), b"kek", b"session-1")
    assert algorithms.kem_open(seed, sealed, b"session-1") == b"kek"
    with refused(Refusal.TAG):
        algorithms.kem_open(seed, sealed, b"session-2")
    with refused(Refusal.TAG):
        algorithms.kem_open(algorithms.random(32), sealed, b"session-1")


@pytest.mark.parametrize("public", [b"", bytes(1215), b"\xff" * 1216, bytes(1216)])
def test_a_public_key_that_is_none_is_refused(public: bytes) -> None:
    with refused(Refusal.MALFORMED):
        algorithms.kem_seal(public, b"kek", b"info")


@given(st.binary(max_size=80), st.binary(max_size=100))
def test_a_signature_of_any_other_bytes_is_refused(message: bytes, junk: bytes) -> None:
    seed = bytes(32)
    public, signature = algorithms.sign_public(seed), algorithms.sign(seed, message)
    algorithms.verify(public, message, signature)
    for arguments in ((public, message + b"x", signature), (public, message, junk), (junk, message, signature)):
        with refused(Refusal.SIGNATURE):
            algorithms.verify(*arguments)


@pytest.mark.parametrize("make", [algorithms.Aead, algorithms.KemPrivate, algorithms.SignPrivate])
def test_a_key_of_the_wrong_length_is_refused(make: Any) -> None:
    for length in (0, 16, 31, 33, 64):
        with refused(Refusal.MALFORMED):
            make(bytes(length))


def argon2id_vectors() -> Iterator[dict[str, str]]:
    case: dict[str, str] = {}
    for line in [*(VECTORS / "KDF" / "argon2id.txt").read_text().splitlines(), ""]:
        if "=" in line and not line.startswith("#"):
            name, value = (part.strip() for part in line.split("=", 1))
            case[name] = value
        elif "output" in case:
            yield case
            case = {}


def test_argon2id_agrees_with_the_vectors_of_rfc_9106_and_its_program() -> None:
    cases = [one for one in argon2id_vectors() if one["length"] == "32" and not one.get("secret") and not one.get("ad")]
    assert len(cases) >= 2
    for one in cases:
        cost = {"passes": int(one["iter"]), "memory_kib": int(one["memcost"]), "lanes": int(one["lanes"])}
        assert algorithms.argon2id(bytes.fromhex(one["pass"]), bytes.fromhex(one["salt"]), **cost).hex() == one["output"]
