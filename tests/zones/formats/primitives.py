"""How the formats of section 3 are opened here."""

from __future__ import annotations

from typing import Any

from cloister.zones import algorithms


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def hkdf(given: dict[str, Any]) -> dict[str, Any]:
    return {"out": algorithms.hkdf(raw(given["key"]), given["label"])}


def mac(given: dict[str, Any]) -> dict[str, Any]:
    return {"out": algorithms.hmac256(raw(given["key"]), raw(given["message"]))}


def aead(given: dict[str, Any]) -> dict[str, Any]:
    return {"plain": algorithms.aead_open(raw(given["key"]), raw(given["sealed"]), raw(given["aad"]))}


def hpke_public(given: dict[str, Any]) -> dict[str, Any]:
    return {"public": algorithms.kem_public(raw(given["seed"]))}


def hpke(given: dict[str, Any]) -> dict[str, Any]:
    return {"plain": algorithms.kem_open(raw(given["seed"]), raw(given["sealed"]), raw(given["info"]))}


def sign(given: dict[str, Any]) -> dict[str, Any]:
    seed = raw(given["seed"])
    return {"public": algorithms.sign_public(seed), "signature": algorithms.sign(seed, raw(given["message"]))}


def verify(given: dict[str, Any]) -> dict[str, Any]:
    algorithms.verify(raw(given["public"]), raw(given["message"]), raw(given["signature"]))
    return {}


FORMATS = {"hkdf": hkdf, "mac": mac, "aead": aead, "hpke": hpke, "hpke-public": hpke_public, "sign": sign, "verify": verify}
