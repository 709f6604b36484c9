"""Vectors of section 3: the algorithms. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import case, flipped, key, refused

from cloister.zones import Refusal, algorithms


def cases() -> list[dict[str, Any]]:
    label = "cloister/unlock/v1/passkey"
    return [
        case("HKDF", "hkdf", {"key": key(0), "label": label}, {"out": algorithms.hkdf(key(0), label)}),
        case("HMAC", "mac", {"key": key(0), "message": b"message"}, {"out": algorithms.hmac256(key(0), b"message")}),
        *aead(),
        *hpke(),
        *ed25519(),
    ]


def aead() -> list[dict[str, Any]]:
    sealed = algorithms.aead_seal(key(0), b"plain", b"bound")
    given = {"key": key(0), "aad": b"bound", "sealed": sealed}
    return [
        case("sealed text", "aead", given, {"plain": b"plain"}),
        case("sealed nothing", "aead", {**given, "sealed": algorithms.aead_seal(key(0), b"", b"bound")}, {"plain": b""}),
        refused("another key", "aead", Refusal.TAG, {**given, "key": key(1)}),
        refused("bound to something else", "aead", Refusal.TAG, {**given, "aad": b"other"}),
        refused("a changed tag", "aead", Refusal.TAG, {**given, "sealed": flipped(sealed)}),
        refused("a changed ciphertext", "aead", Refusal.TAG, {**given, "sealed": flipped(sealed, 12)}),
        refused("a changed nonce", "aead", Refusal.TAG, {**given, "sealed": flipped(sealed, 0)}),
        refused("cut short", "aead", Refusal.TAG, {**given, "sealed": sealed[:-1]}),
        refused("shorter than nonce and tag", "aead", Refusal.TAG, {**given, "sealed": sealed[:27]}),
        refused("nothing", "aead", Refusal.TAG, {**given, "sealed": b""}),
    ]


def hpke() -> list[dict[str, Any]]:
    public = algorithms.kem_public(key(1))
    sealed = algorithms.kem_seal(public, key(2), b"info")
    given = {"seed": key(1), "info": b"info", "sealed": sealed}
    return [
        case("HPKE public key of a seed", "hpke-public", {"seed": key(1)}, {"public": public}),
        case("HPKE", "hpke", given, {"plain": key(2)}),
        refused("HPKE with another seed", "hpke", Refusal.TAG, {**given, "seed": key(2)}),
        refused("HPKE with another info", "hpke", Refusal.TAG, {**given, "info": b"inf0"}),
        refused("HPKE: changed ML-KEM part", "hpke", Refusal.TAG, {**given, "sealed": flipped(sealed, 0)}),
        refused("HPKE: changed X25519 part", "hpke", Refusal.TAG, {**given, "sealed": flipped(sealed, 1100)}),
        refused("HPKE: changed tag", "hpke", Refusal.TAG, {**given, "sealed": flipped(sealed)}),
        refused("HPKE: cut short", "hpke", Refusal.TAG, {**given, "sealed": sealed[:1120]}),
        refused("HPKE: nothing", "hpke", Refusal.TAG, {**given, "sealed": b""}),
    ]


def ed25519() -> list[dict[str, Any]]:
    signature = algorithms.sign(key(3), b"message")
    given = {"public": algorithms.sign_public(key(3)), "message": b"message", "signature": signature}
    return [
        case("Ed25519 signature", "sign", {"seed": key(3), "message": b"message"}, {"public": given["public"], "signature": signature}),
        case("a genuine signature", "verify", given, {}),
        refused("another message", "verify", Refusal.SIGNATURE, {**given, "message": b"massage"}),
        refused("verified with another key", "verify", Refusal.SIGNATURE, {**given, "public": algorithms.sign_public(key(4))}),
        refused("a changed signature", "verify", Refusal.SIGNATURE, {**given, "signature": flipped(signature)}),
        refused("a signature cut short", "verify", Refusal.SIGNATURE, {**given, "signature": signature[:63]}),
        refused("a key of small order", "verify", Refusal.SIGNATURE, anybody()),
        refused("a key of small order that is not canonical", "verify", Refusal.SIGNATURE, anybody(b"\xee" + b"\xff" * 31)),
        refused("no key", "verify", Refusal.SIGNATURE, {**given, "public": b""}),
    ]


def anybody(public: bytes = b"\x01" + bytes(31)) -> dict[str, Any]:
    """The neutral point as key: a signature of the neutral point and zero fits every message."""
    return {"public": public, "message": b"message", "signature": b"\x01" + bytes(63)}
