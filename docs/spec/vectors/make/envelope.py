"""Vectors of section 4: the signed envelope. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import case, flipped, key, refused, shown

from cloister.zones import Refusal, algorithms, envelope
from cloister.zones.cbor import encoded

LABEL, SIGNER, BODY = "cloister/example/v1", "root/access", {"text": "hello", "number": 1}


def made(label: str = LABEL, algorithm: Any = 1, signer: str = SIGNER, body: bytes | None = None, seed: bytes | None = None) -> bytes:
    """An envelope by hand, correctly signed whatever stands in it."""
    inner = encoded(BODY) if body is None else body
    signature = algorithms.sign(seed or key(3), encoded([label, algorithm, signer, inner]))
    return encoded([label, algorithm, signer, inner, signature])


def cases() -> list[dict[str, Any]]:
    blob = envelope.signed(LABEL, SIGNER, BODY, key(3))
    given = {"label": LABEL, "public": algorithms.sign_public(key(3)), "blob": blob}
    person = envelope.person_signer(bytes(32), algorithms.SignPrivate(key(3))).sign(LABEL, {"bytes": b"\x00"})
    label, algorithm, signer, body, signature = LABEL, 1, SIGNER, encoded(BODY), blob[-64:]
    wrong = {
        "another label": (Refusal.LABEL, made(label="cloister/other/v1")),
        "the second algorithm, which has its place and is refused": (Refusal.ALGORITHM, made(algorithm=2)),
        "algorithm 0": (Refusal.ALGORITHM, made(algorithm=0)),
        "an algorithm by name": (Refusal.MALFORMED, made(algorithm="none")),
        "signed by another key": (Refusal.SIGNATURE, made(seed=key(4))),
        "a changed signature": (Refusal.SIGNATURE, flipped(blob)),
        "a replaced signer": (Refusal.SIGNATURE, encoded([label, algorithm, "root/certificate", body, signature])),
        "a replaced body": (Refusal.SIGNATURE, encoded([label, algorithm, signer, encoded({}), signature])),
        "a body that is no map": (Refusal.MALFORMED, made(body=encoded([1]))),
        "a body that is not canonical": (Refusal.MALFORMED, made(body=bytes.fromhex("a1616118 17".replace(" ", "")))),
        "a body cut short": (Refusal.MALFORMED, made(body=encoded(BODY)[:-1])),
        "a short signature": (Refusal.SIGNATURE, encoded([label, algorithm, signer, body, signature[:63]])),
        "four elements": (Refusal.MALFORMED, encoded([label, algorithm, signer, body])),
        "six elements": (Refusal.MALFORMED, encoded([label, algorithm, signer, body, signature, b""])),
        "a map": (Refusal.MALFORMED, encoded({"label": label})),
        "cut short": (Refusal.MALFORMED, blob[:-1]),
        "something after the end": (Refusal.MALFORMED, blob + b"\x00"),
        "nothing": (Refusal.MALFORMED, b""),
    }
    return [
        case("a genuine envelope", "envelope", given, {"signer": SIGNER, "body": shown(BODY), "hash": envelope.digest(blob)}),
        case(
            "signed by a person",
            "envelope",
            {**given, "blob": person},
            {"signer": bytes(32).hex(), "body": {"bytes": {"hex": "00"}}, "hash": envelope.digest(person)},
        ),
        *(refused(name, "envelope", reason, {**given, "blob": changed}) for name, (reason, changed) in wrong.items()),
    ]
