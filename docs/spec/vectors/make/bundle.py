"""Vectors of section 6: the bundle of a person's private keys. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import case, flipped, key, refused

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, bundle


def cases() -> list[dict[str, Any]]:
    private = bundle.Bundle("person-1", Secret(key(7)), Secret(key(8)))
    sealed = bundle.seal_bundle(private, Secret(key(6)))
    other = bundle.seal_bundle(private, Secret(key(5)))
    given = {"person": "person-1", "unlock_key": key(6), "sealed": sealed}
    wrong = {
        "another unlock key": {"unlock_key": key(5)},
        "another's bundle": {"person": "person-2"},
        "a changed commitment": {"sealed": flipped(sealed, 0)},
        "a changed key": {"sealed": flipped(sealed, 50)},
        "a changed tag": {"sealed": flipped(sealed)},
        "cut short": {"sealed": sealed[:-1]},
        "nothing": {"sealed": b""},
        "another's ciphertext under this commitment": {"sealed": sealed[:32] + other[32:]},
    }
    keys = {
        "kem_seed": key(7),
        "sign_seed": key(8),
        "kem_public": algorithms.kem_public(key(7)),
        "sign_public": algorithms.sign_public(key(8)),
    }
    short = sealed[:32] + algorithms.aead_seal(
        algorithms.hkdf(key(6), "cloister/bundle/v1/seal"), key(7), b"\x00\x00\x00\x12cloister/bundle/v1\x00\x00\x00\x08person-1"
    )
    return [
        case("a bundle", "bundle", given, keys),
        *(refused(name, "bundle", Refusal.WRONG_KEY, {**given, **change}) for name, change in wrong.items()),
        refused("a bundle of one key", "bundle", Refusal.MALFORMED, {**given, "sealed": short}),
    ]
