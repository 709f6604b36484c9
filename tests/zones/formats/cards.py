"""How the formats of section 5.1 are opened here: by room zones, and a second time by the workstation's own arithmetic."""

from __future__ import annotations

import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from unlockers import raw, unlocker

from cloister.identity import cards as door
from cloister.workstation import lattice, profiles
from cloister.zones import Forged, Refusal, algorithms, cards, unlockers


def card(given: dict[str, Any]) -> dict[str, Any]:
    params = given["params"]
    unlockers.check_params("card", params)
    use = cards.CardUse(given["person"], given["unlocker"], params)
    first, second, root = answer(use, given)
    half = cards.half_of(use, first, second)
    assert profiles.half(profiles.Use(params["trust"], use.person, use.unlocker), params, first, second) == half
    kek, verifier = cards.card_secrets(cards.root_of(half, root))
    return {"half": half, "root": cards.root_of(half, root), "kek": kek.reveal(), "verifier": verifier}


def answer(use: cards.CardUse, given: dict[str, Any]) -> tuple[bytes, bytes, bytes | None]:
    """What the card would answer, with its key at hand."""
    params = use.params
    if params["profile"] == "a":
        sealed, seed = raw(params["kem"]), raw(given["seed"])
        shared = algorithms.lattice_open(seed, sealed)
        assert lattice.decapsulate(seed, sealed) == shared
        return algorithms.ecdh(params["curve"], raw(given["scalar"]), raw(params["point"])), shared, None
    if params["profile"] == "b":
        if cards.commitment_of(raw(given["secret"])).hex() != params["commitment"]:
            raise Forged(Refusal.COMMITMENT)
        return raw(given["secret"]), b"", None
    public = load_der_public_key(raw(given["public"]))
    assert isinstance(public, rsa.RSAPublicKey)
    text = cards.text_to_sign(use)
    assert text == profiles.text_to_sign(profiles.Use(params["trust"], use.person, use.unlocker), params["key"])
    try:
        public.verify(raw(given["signature"]), text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Forged(Refusal.SIGNATURE) from None
    return raw(given["signature"]), b"", unlockers.passphrase_root(given["passphrase"], cards.passphrase_params(params))


def offer(given: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(algorithms.aead_open(cards.offer_key(given["key"]), raw(given["sealed"]), door.OFFER_LABEL)))


FORMATS = {"card": card, "card-offer": offer, "unlocker": unlocker}
