"""How a keyring is opened here, and what is opened with it."""

from __future__ import annotations

from typing import Any

from certificates import moment, revocations, roots
from grants import ms

from cloister.base.secret import Secret
from cloister.zones import Keyring, TrustMaterial, bundle
from cloister.zones.keyring import RIGHTS


def raws(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def opened(given: dict[str, Any]) -> Keyring:
    private = bundle.Bundle(given["person"], *(Secret(bytes.fromhex(given[name])) for name in ("kem_seed", "sign_seed")))
    names = ("certificates", "mandates", "grants", "zones", "epochs", "revoked_grants")
    material = TrustMaterial(**{name: raws(given[name]) for name in names}, revoked_certificates=revocations(given))
    return Keyring.open(bundle=private, trust=roots(given), material=material, now=moment(given["now"]))


def keyring(given: dict[str, Any]) -> dict[str, Any]:
    found = opened(given)
    rights = {allowed: right.value for right, allowed in RIGHTS.items()}
    zones = [
        {
            **{name: getattr(one, name) for name in ("zone", "name", "hospital", "ward", "epoch")},
            "right": rights[one.rights],
            "index_key": found.index_key(one.zone),
            "live_until": ms(one.live_until),
        }
        for one in found.zones
    ]
    return {"zones": zones, "refused": sorted([hashed, reason.value] for hashed, reason in found.refused)}


def wrap(given: dict[str, Any]) -> dict[str, Any]:
    sealed = bytes.fromhex(given["sealed"])
    return {"key": opened(given).unwrap(given["zone"], given["epoch"], given["dossier"], given["key_no"], sealed).reveal()}


def shard(given: dict[str, Any]) -> dict[str, Any]:
    return {"plain": opened(given).shard_open(given["zone"], given["part_no"], bytes.fromhex(given["sealed"]))}


FORMATS = {"keyring": keyring, "wrap": wrap, "shard": shard}
