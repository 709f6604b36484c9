"""Sections 5 and 6: unlockers, the messages that carry a KEK, and the bundle."""

from __future__ import annotations

import unicodedata
from typing import Any

from spec.reader.algorithms import Kem, argon2id, hkdf, raw, sha256, sign_public, unseal
from spec.reader.cards import OWN, check_card_params
from spec.reader.encoding import encode, is_a, packed
from spec.reader.refused import Refused, need

BOUNDS = {"passes": range(3, 33), "memory_kib": range(65_536, 2_097_153), "lanes": range(1, 17)}


def check_params(params: Any) -> None:
    weak = "weak-parameters"
    need(isinstance(params, dict) and set(params) == {"salt", *BOUNDS}, weak)
    need(all(is_a(params[name], bounds) for name, bounds in BOUNDS.items()), weak)
    salt = params["salt"]
    need(isinstance(salt, str) and len(salt) == 32 and set(salt) <= set("0123456789abcdef"), weak)


def passphrase_root(text: str, params: Any) -> bytes:
    check_params(params)
    raw_text = unicodedata.normalize("NFKC", text).encode()
    return argon2id(raw_text, bytes.fromhex(params["salt"]), params["passes"], params["memory_kib"], params["lanes"])


def passphrase(given: dict[str, Any]) -> dict[str, Any]:
    root = passphrase_root(given["passphrase"], given["params"])
    verifier = hkdf(root, "cloister/verify/v1/passphrase")
    return {"kek": hkdf(root, "cloister/unlock/v1/passphrase"), "verifier": verifier, "stored": sha256(verifier)}


def passkey(given: dict[str, Any]) -> dict[str, Any]:
    (prf,) = raw(given, "prf")
    need(len(prf) == 32, "malformed")
    return {"salt": sha256(b"cloister/prf/v1"), "kek": hkdf(prf, "cloister/unlock/v1/passkey")}


def service(given: dict[str, Any]) -> dict[str, Any]:
    (secret,) = raw(given, "secret")
    need(len(secret) == 32, "malformed")
    return {"kek": hkdf(secret, "cloister/unlock/v1/service"), "verifier": hkdf(secret, "cloister/verify/v1/service")}


def committed(key: bytes, sealed: bytes, commitment: str, use: str, bound: bytes) -> bytes:
    """commitment | sealed: whatever does not fit has one answer."""
    need(sealed[:32] == hkdf(key, commitment), "wrong-key")
    try:
        return unseal(hkdf(key, use), sealed[32:], bound)
    except Refused:
        raise Refused("wrong-key") from None


def unwrapped(kek: bytes, id: str, person: str, kind: str, params: Any, sealed: bytes) -> bytes:
    need(kind in KINDS, "algorithm")
    if kind == "passphrase":
        check_params(params)
    elif kind == "card":
        check_card_params(params)
        if params["profile"] == "c":
            check_params({name: params[name] for name in OWN["c"]})
    bound = packed("cloister/unlocker/v1", id, person, kind, encode(params))
    return committed(kek, sealed, "cloister/unlocker/v1/commitment", "cloister/unlocker/v1/wrap", bound)


KINDS = {"passphrase", "passkey", "service", "card"}


def unlocker(given: dict[str, Any]) -> dict[str, Any]:
    kek, sealed = raw(given, "kek", "sealed")
    return {"unlock_key": unwrapped(kek, given["id"], given["person"], given["kind"], given["params"], sealed)}


def session_unlock(given: dict[str, Any]) -> dict[str, Any]:
    seed, sealed = raw(given, "seed", "sealed")
    return {"kek": Kem(seed).open(sealed, b"cloister/session-unlock/v1|" + given["session"].encode())}


def enrolment(given: dict[str, Any]) -> dict[str, Any]:
    seed, sealed = raw(given, "seed", "sealed")
    both = Kem(seed).open(sealed, b"cloister/enrol/v1|" + given["flow"].encode())
    return {"known": both[:32], "new": both[32:]}


def sealed_root(given: dict[str, Any]) -> dict[str, Any]:
    kek = hkdf(passphrase_root(given["passphrase"], given["params"]), "cloister/unlock/v1/passphrase")
    seed = unwrapped(kek, "root/" + given["root"], given["trust"], "passphrase", given["params"], *raw(given, "sealed"))
    return {"seed": seed, "public": sign_public(seed)}


def bundle(given: dict[str, Any]) -> dict[str, Any]:
    unlock_key, sealed = raw(given, "unlock_key", "sealed")
    bound = packed("cloister/bundle/v1", given["person"])
    plain = committed(unlock_key, sealed, "cloister/bundle/v1/commitment", "cloister/bundle/v1/seal", bound)
    need(len(plain) == 64, "malformed")
    kem, sign = plain[:32], plain[32:]
    return {"kem_seed": kem, "sign_seed": sign, "kem_public": Kem(kem).public, "sign_public": sign_public(sign)}


FORMATS = {
    "passphrase": passphrase,
    "passkey": passkey,
    "service": service,
    "unlocker": unlocker,
    "session-unlock": session_unlock,
    "enrolment": enrolment,
    "sealed-root": sealed_root,
    "bundle": bundle,
}
