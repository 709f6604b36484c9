"""Vectors of section 5.1: cards. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import TRUST, case, flipped, key, refused
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloister.base.secret import Secret
from cloister.identity import Authenticator, Known, Person
from cloister.identity import cards as door
from cloister.zones import Refusal, algorithms, cards, unlockers

COST: dict[str, Any] = {"salt": bytes(range(16)).hex(), "passes": 3, "memory_kib": 65_536, "lanes": 4}
PERSON, UNLOCKER = "person-1", "unlocker-5"
SEED = key(30) + key(31)
NAME = key(32).hex()
COMMON: dict[str, Any] = {"trust": TRUST, "key": NAME, "not_after": 1_850_000_000_000}


def cases() -> list[dict[str, Any]]:
    return [*derived("P-256", key(33)), *derived("P-384", key(34) + bytes(range(16))), *decrypted(), *signed(), *malformed(), *offers()]


def ended(use: cards.CardUse, half: bytes, passphrase_root: bytes | None = None) -> dict[str, Any]:
    root = cards.root_of(half, passphrase_root)
    kek, verifier = cards.card_secrets(root)
    return {"half": half, "root": root, "kek": kek.reveal(), "verifier": verifier}


def use_of(params: dict[str, Any]) -> cards.CardUse:
    return cards.CardUse(PERSON, UNLOCKER, params)


def given_of(params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"person": PERSON, "unlocker": UNLOCKER, "params": params, **more}


def derived(curve: str, scalar: bytes) -> list[dict[str, Any]]:
    point, _ = algorithms.ecdh_towards(curve, algorithms.ecdh_public(curve, scalar))
    shared, kem = algorithms.lattice_seal(algorithms.lattice_public(SEED))
    params = {**COMMON, "profile": "a", "curve": curve, "point": point.hex(), "kem": kem.hex()}
    half = cards.half_of(use_of(params), algorithms.ecdh(curve, scalar, point), shared)
    given = given_of(params, scalar=scalar, seed=SEED)
    outside = flipped(point).hex()
    return [
        case(f"a card that derives on {curve}", "card", given, ended(use_of(params), half)),
        refused(f"a point that is not on {curve}", "card", Refusal.MALFORMED, {**given, "params": {**params, "point": outside}}),
    ]


def decrypted() -> list[dict[str, Any]]:
    secret = key(35)
    commitment = cards.commitment_of(secret).hex()
    params = {**COMMON, "profile": "b", "padding": "oaep-sha256", "wrapped": bytes(range(256)).hex(), "commitment": commitment}
    given = given_of(params, secret=secret)
    wrapped = unlockers.wrap_unlock_key(Secret(key(10)), UNLOCKER, PERSON, "card", params, Secret(key(6)))
    later = {**params, "not_after": 1}
    row = {"kek": key(10), "id": UNLOCKER, "person": PERSON, "kind": "card", "params": params, "sealed": wrapped.sealed}
    return [
        case("a card that decrypts", "card", given, ended(use_of(params), cards.half_of(use_of(params), secret))),
        refused("a secret that nobody committed to", "card", Refusal.COMMITMENT, {**given, "secret": key(36)}),
        case("an unlocker of a card", "unlocker", row, {"unlock_key": key(6)}),
        refused("an unlocker of a card: another certificate's end", "unlocker", Refusal.WRONG_KEY, {**row, "params": later}),
        refused("an unlocker of a card: no padding", "unlocker", Refusal.WEAK_PARAMETERS, {**row, "params": {**params, "padding": "none"}}),
    ]


def signed() -> list[dict[str, Any]]:
    card = rsa.generate_private_key(65537, 2048)
    public = card.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    params = {**COMMON, "key": algorithms.sha256(public).hex(), "profile": "c", **COST}
    use = use_of(params)
    text = cards.text_to_sign(use)
    signature = card.sign(text, padding.PKCS1v15(), hashes.SHA256())
    given = given_of(params, public=public, signature=signature, passphrase="brume-digue-47")
    root = unlockers.passphrase_root("brume-digue-47", COST)
    other = card.sign(text + b"\0", padding.PKCS1v15(), hashes.SHA256())
    weak = {**params, "memory_kib": 65_535}
    return [
        case("a card that signs, and a passphrase", "card", given, ended(use, cards.half_of(use, signature), root)),
        refused("a signature of another text", "card", Refusal.SIGNATURE, {**given, "signature": other}),
        refused("a signature for another person", "card", Refusal.SIGNATURE, {**given, "person": "person-2"}),
        refused("a signature for another unlocker", "card", Refusal.SIGNATURE, {**given, "unlocker": "unlocker-6"}),
        refused("a weak derivation beside a card", "card", Refusal.WEAK_PARAMETERS, {**given, "params": weak}),
    ]


def malformed() -> list[dict[str, Any]]:
    b = {**COMMON, "profile": "b", "padding": "pkcs1", "wrapped": bytes(256).hex(), "commitment": cards.commitment_of(key(35)).hex()}
    a = {**COMMON, "profile": "a", "curve": "P-256", "point": "04" + "00" * 64, "kem": "00" * 1088}
    wrong = {
        "a profile that nobody knows": {**b, "profile": "d"},
        "no profile": {name: value for name, value in b.items() if name != "profile"},
        "a member that nobody knows": {**b, "hash": "md5"},
        "a member of another profile": {**b, "curve": "P-256"},
        "a member that is missing": {name: value for name, value in b.items() if name != "commitment"},
        "a padding that nobody knows": {**b, "padding": "none"},
        "a short RSA block": {**b, "wrapped": bytes(128).hex()},
        "hex in capitals": {**b, "key": "AB" * 32},
        "a name of a key that is too short": {**b, "key": "ab" * 31},
        "an end that is no number": {**b, "not_after": "1"},
        "an end that is true": {**b, "not_after": True},
        "an end below zero": {**b, "not_after": -1},
        "an end too far away": {**b, "not_after": 2**53},
        "a trust without name": {**b, "trust": ""},
        "a curve that nobody knows": {**a, "curve": "P-521"},
        "a point of the other curve's length": {**a, "curve": "P-384"},
        "a compressed point": {**a, "point": "02" + "00" * 32},
        "a short ciphertext": {**a, "kem": "00" * 1087},
    }
    return [refused(f"card: {name}", "card", Refusal.WEAK_PARAMETERS, given_of(one, secret=key(35))) for name, one in wrong.items()]


def offers() -> list[dict[str, Any]]:
    params = {**COMMON, "profile": "b", "padding": "pkcs1", "wrapped": bytes(256).hex(), "commitment": bytes(32).hex()}
    person = Person(id=PERSON, sign_in="x", name="X", kind="person", role="nurse", hospital=None, language="fr", disabled=False)
    one = Authenticator(id=UNLOCKER, person=PERSON, kind="card", params=params)
    sealed, *others = door.sealed_offers(Known(sign_in="x", person=person, authenticators=(one,)))
    given = {"key": NAME, "sealed": sealed}
    return [
        case("an offer to who has the card", "card-offer", given, {"unlocker": UNLOCKER, "person": PERSON, "params": params}),
        refused("an offer for another card", "card-offer", Refusal.TAG, {**given, "key": key(37).hex()}),
        refused("an offer of no card", "card-offer", Refusal.TAG, {**given, "sealed": others[0]}),
        refused("a changed offer", "card-offer", Refusal.TAG, {**given, "sealed": flipped(sealed)}),
    ]
