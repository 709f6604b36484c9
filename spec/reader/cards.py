"""Section 5.1: cards, with the card's own key at hand."""

from __future__ import annotations

import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from spec.reader.algorithms import hkdf, raw, unseal
from spec.reader.encoding import is_a, packed
from spec.reader.refused import Refused, need

CURVES: dict[str, Any] = {"P-256": (ec.SECP256R1(), 65), "P-384": (ec.SECP384R1(), 97)}
OWN = {
    "a": {"curve", "point", "kem"},
    "b": {"padding", "wrapped", "commitment"},
    "c": {"salt", "passes", "memory_kib", "lanes"},
}
HALF = "cloister/card/v1/half"


def is_hex(text: Any, *sizes: int) -> bool:
    return isinstance(text, str) and len(text) in {2 * size for size in sizes} and set(text) <= set("0123456789abcdef")


def check_card_params(params: Any) -> None:
    weak = "weak-parameters"
    need(isinstance(params, dict) and params.get("profile") in OWN, weak)
    need(set(params) == {"profile", "trust", "key", "not_after"} | OWN[params["profile"]], weak)
    need(isinstance(params["trust"], str) and 0 < len(params["trust"]) <= 200 and is_hex(params["key"], 32), weak)
    need(is_a(params["not_after"], range(2**53)), weak)
    if params["profile"] == "a":
        need(params["curve"] in CURVES, weak)
        need(is_hex(params["point"], CURVES[params["curve"]][1]) and params["point"][:2] == "04", weak)
        need(is_hex(params["kem"], 1088), weak)
    elif params["profile"] == "b":
        need(params["padding"] in ("oaep-sha256", "oaep-sha1", "pkcs1"), weak)
        need(is_hex(params["wrapped"], 256, 384, 512) and is_hex(params["commitment"], 32), weak)


def derived(params: Any, given: dict[str, Any]) -> tuple[bytes, bytes]:
    curve, _ = CURVES[params["curve"]]
    scalar, seed = raw(given, "scalar", "seed")
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(curve, bytes.fromhex(params["point"]))
    except ValueError:
        raise Refused("malformed") from None
    shared = ec.derive_private_key(int.from_bytes(scalar, "big"), curve).exchange(ec.ECDH(), point)
    return shared, mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(bytes.fromhex(params["kem"]))


def signed(params: Any, given: dict[str, Any]) -> bytes:
    public, signature = raw(given, "public", "signature")
    text = packed("cloister/card/v1/sign", params["trust"], given["person"], given["unlocker"], params["key"])
    try:
        load_der_public_key(public).verify(signature, text, padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr,call-arg]
    except InvalidSignature:
        raise Refused("signature") from None
    return signature


def card(given: dict[str, Any]) -> dict[str, Any]:
    from spec.reader.unlocking import passphrase_root  # which checks a card's parameters, too

    params, beside = given["params"], None
    check_card_params(params)
    public, second = b"", b""
    if params["profile"] == "a":
        first, second = derived(params, given)
        public = bytes.fromhex(params["point"] + params["kem"])
    elif params["profile"] == "b":
        (first,) = raw(given, "secret")
        need(hkdf(first, "cloister/card/v1/commitment").hex() == params["commitment"], "commitment")
        public = bytes.fromhex(params["wrapped"])
    else:
        beside = passphrase_root(given["passphrase"], {name: params[name] for name in OWN["c"]})
        first = signed(params, given)
    bound = packed(HALF, params["trust"], given["person"], given["unlocker"], params["profile"], params["key"], public, first, second)
    half = hkdf(bound, HALF)
    root = half if beside is None else hkdf(half + beside, "cloister/card/v1/with-passphrase")
    return {"half": half, "root": root, "kek": hkdf(root, "cloister/unlock/v1/card"), "verifier": hkdf(root, "cloister/verify/v1/card")}


def offer(given: dict[str, Any]) -> dict[str, Any]:
    name, sealed = raw(given, "key", "sealed")
    return dict(json.loads(unseal(hkdf(name, "cloister/card/v1/offer"), sealed, b"cloister/card/v1/offer")))


FORMATS = {"card": card, "card-offer": offer}
