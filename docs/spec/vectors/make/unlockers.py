"""Vectors of section 5: unlockers and their messages. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import TRUST, case, flipped, key, refused

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, unlockers
from cloister.zones.cbor import encoded
from cloister.zones.packing import packed

PARAMS: dict[str, Any] = {"salt": bytes(range(16)).hex(), "passes": 3, "memory_kib": 65_536, "lanes": 4}
PASSPHRASE = "correct cheval batterie \u00e9tag\u00e8re \ufb01n"  # NFKC makes "fi" of the ligature


def cases() -> list[dict[str, Any]]:
    return [*derived(), *wrapped(), *messages(), *sealed_root()]


def derived() -> list[dict[str, Any]]:
    kek, verifier = unlockers.passphrase_secrets(PASSPHRASE, PARAMS)
    service, service_verifier = unlockers.service_secrets(key(5))
    gives = {"kek": kek.reveal(), "verifier": verifier, "stored": unlockers.stored_verifier(verifier)}
    wrong: dict[str, dict[str, Any]] = {
        "too few passes": {**PARAMS, "passes": 2},
        "too many passes": {**PARAMS, "passes": 33},
        "too little memory": {**PARAMS, "memory_kib": 65_535},
        "too much memory": {**PARAMS, "memory_kib": 2_097_153},
        "no lane": {**PARAMS, "lanes": 0},
        "too many lanes": {**PARAMS, "lanes": 17},
        "passes that are no number": {**PARAMS, "passes": "3"},
        "passes that are true": {**PARAMS, "passes": True},
        "a short salt": {**PARAMS, "salt": bytes(15).hex()},
        "a long salt": {**PARAMS, "salt": bytes(17).hex()},
        "a salt that is not hex": {**PARAMS, "salt": "z" * 32},
        "a salt with spaces": {**PARAMS, "salt": " ".join(["00"] * 16)},
        "a salt in capitals": {**PARAMS, "salt": "AB" * 16},
        "no salt": {name: value for name, value in PARAMS.items() if name != "salt"},
        "a member that nobody knows": {**PARAMS, "kdf": "md5"},
    }
    return [
        case("a passphrase", "passphrase", {"passphrase": PASSPHRASE, "params": PARAMS}, gives),
        case(
            "the same with the ligature written out",
            "passphrase",
            {"passphrase": PASSPHRASE.replace("\ufb01", "fi"), "params": PARAMS},
            gives,
        ),
        *(refused(name, "passphrase", Refusal.WEAK_PARAMETERS, {"passphrase": "x", "params": one}) for name, one in wrong.items()),
        case("a passkey", "passkey", {"prf": key(4)}, {"salt": unlockers.PRF_SALT, "kek": unlockers.passkey_kek(key(4)).reveal()}),
        refused("a passkey's short answer", "passkey", Refusal.MALFORMED, {"prf": key(4)[:31]}),
        case("a program", "service", {"secret": key(5)}, {"kek": service.reveal(), "verifier": service_verifier}),
        refused("a program's short secret", "service", Refusal.MALFORMED, {"secret": key(5)[:31]}),
    ]


def wrapped() -> list[dict[str, Any]]:
    kek = key(10)
    unlocker = unlockers.wrap_unlock_key(Secret(kek), "unlocker-1", "person-1", "passphrase", PARAMS, Secret(key(6)))
    sealed = unlocker.sealed
    given = {"kek": kek, "id": "unlocker-1", "person": "person-1", "kind": "passphrase", "params": PARAMS, "sealed": sealed}
    passkey = unlockers.wrap_unlock_key(Secret(kek), "unlocker-2", "person-1", "passkey", {"credential": "abc"}, Secret(key(6)))
    service = unlockers.wrap_unlock_key(Secret(kek), "unlocker-3", "person-1", "service", {}, Secret(key(6)))
    other = unlockers.wrap_unlock_key(Secret(key(11)), "unlocker-1", "person-1", "passphrase", PARAMS, Secret(key(6))).sealed
    wrong = {
        "another KEK": {"kek": key(11)},
        "another's unlocker": {"person": "person-2"},
        "another unlocker's row": {"id": "unlocker-9"},
        "another kind": {"kind": "service"},
        "other parameters": {"params": {**PARAMS, "passes": 4}},
        "a changed commitment": {"sealed": flipped(sealed, 0)},
        "a changed tag": {"sealed": flipped(sealed)},
        "cut short": {"sealed": sealed[:-1]},
        "nothing": {"sealed": b""},
        "a ciphertext of another KEK under this one's commitment": {"sealed": sealed[:32] + other[32:]},
    }
    weak = {**PARAMS, "passes": 1}
    return [
        case("an unlocker of a passphrase", "unlocker", given, {"unlock_key": key(6)}),
        case(
            "an unlocker of a passkey",
            "unlocker",
            {**given, "id": "unlocker-2", "kind": "passkey", "params": passkey.params, "sealed": passkey.sealed},
            {"unlock_key": key(6)},
        ),
        case(
            "an unlocker of a program",
            "unlocker",
            {**given, "id": "unlocker-3", "kind": "service", "params": {}, "sealed": service.sealed},
            {"unlock_key": key(6)},
        ),
        *(refused(f"unlocker: {name}", "unlocker", Refusal.WRONG_KEY, {**given, **change}) for name, change in wrong.items()),
        refused("an unlocker of a kind that nobody knows", "unlocker", Refusal.ALGORITHM, {**given, "kind": "sms"}),
        refused(
            "an unlocker with weak parameters", "unlocker", Refusal.WEAK_PARAMETERS, {**given, "params": weak, "sealed": downgraded(weak)}
        ),
    ]


def downgraded(params: dict[str, Any]) -> bytes:
    """A genuine wrap under weak parameters, as a server that cheats would make it."""
    commitment, wrap = (algorithms.hkdf(key(10), f"cloister/unlocker/v1/{use}") for use in ("commitment", "wrap"))
    bound = packed("cloister/unlocker/v1", "unlocker-1", "person-1", "passphrase", encoded(params))
    return commitment + algorithms.aead_seal(wrap, key(6), bound)


def messages() -> list[dict[str, Any]]:
    public = algorithms.kem_public(key(9))
    sealed = algorithms.kem_seal(public, key(10), unlockers.session_unlock_info("session-1"))
    enrolled = algorithms.kem_seal(public, key(10) + key(11), b"cloister/enrol/v1|flow-1")
    given = {"seed": key(9), "session": "session-1", "sealed": sealed}
    flow = {"seed": key(9), "flow": "flow-1", "sealed": enrolled}
    return [
        case("an unlock message", "session-unlock", given, {"kek": key(10)}),
        refused("an unlock message to another session", "session-unlock", Refusal.TAG, {**given, "session": "session-2"}),
        refused("an unlock message for another key", "session-unlock", Refusal.TAG, {**given, "seed": key(8)}),
        refused("an unlock message cut short", "session-unlock", Refusal.TAG, {**given, "sealed": sealed[:-1]}),
        refused("an enrolment message as an unlock message", "session-unlock", Refusal.TAG, {**given, "sealed": enrolled}),
        case("an enrolment message", "enrolment", flow, {"known": key(10), "new": key(11)}),
        refused("an enrolment message of another flow", "enrolment", Refusal.TAG, {**flow, "flow": "flow-2"}),
        refused("an unlock message as an enrolment message", "enrolment", Refusal.TAG, {**flow, "sealed": sealed}),
    ]


def sealed_root() -> list[dict[str, Any]]:
    kek, _ = unlockers.passphrase_secrets("root passphrase", PARAMS)
    sealed = unlockers.wrap_unlock_key(kek, "root/access", TRUST, "passphrase", PARAMS, Secret(key(20))).sealed
    given = {"trust": TRUST, "root": "access", "passphrase": "root passphrase", "params": PARAMS, "sealed": sealed}
    return [
        case("a sealed root", "sealed-root", given, {"seed": key(20), "public": algorithms.sign_public(key(20))}),
        refused("a sealed root under another passphrase", "sealed-root", Refusal.WRONG_KEY, {**given, "passphrase": "root passphrase "}),
        refused("a sealed root in the other's place", "sealed-root", Refusal.WRONG_KEY, {**given, "root": "certificate"}),
        refused("another trust's sealed root", "sealed-root", Refusal.WRONG_KEY, {**given, "trust": "trust-2"}),
        refused("a changed sealed root", "sealed-root", Refusal.WRONG_KEY, {**given, "sealed": flipped(sealed)}),
    ]
