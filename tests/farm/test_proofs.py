"""Proofs by a browser's key: what is taken, what is not, and that nothing grows without bound."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from cloister.base.errors import Denied
from cloister.farm.proofs import NONCE_SECONDS, TAKEN_MAX, Nonces, ProofKey, proven

PLACE: Final = "https://trust.example/patients"


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def read(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def changed(proof: str, where: int, **more: Any) -> str:
    parts = proof.split(".")
    parts[where] = part({**read(parts[where]), **more})
    return ".".join(parts)


def test_a_proof_holds_for_its_own_request_only() -> None:
    key = ProofKey()
    proof = proven(key.proof("GET", PLACE, nonce="n"), method="GET", address=PLACE)
    assert (proof.jkt, proof.nonce) == (key.jkt, "n")
    for method, address in (("POST", PLACE), ("GET", PLACE + "/1"), ("GET", "https://other.example/patients")):
        with pytest.raises(Denied):
            proven(key.proof("GET", PLACE), method=method, address=address)


BAD: Final[dict[str, Callable[[str], str]]] = {
    "nothing": lambda proof: "",
    "no JWS": lambda proof: "a.b",
    "changed address": lambda proof: changed(proof, 1, htu="https://trust.example/x"),
    "unsigned": lambda proof: changed(proof, 0, alg="none").rsplit(".", 1)[0] + ".",
    "of another type": lambda proof: changed(proof, 0, typ="JWT"),
    "by a shared secret": lambda proof: changed(proof, 0, alg="HS256"),
    "with another's key": lambda proof: changed(proof, 0, jwk=read(ProofKey().proof("GET", PLACE).split(".")[0])["jwk"]),
    "with a point off the curve": lambda proof: changed(proof, 0, jwk={"kty": "EC", "crv": "P-256", "x": part(1)[:43], "y": "A" * 43}),
    "with its private key": lambda proof: changed(proof, 0, jwk={**read(proof.split(".")[0])["jwk"], "d": "A" * 43}),
    "with a number for an address": lambda proof: changed(proof, 1, htu=7),
    "endless": lambda proof: proof + "A" * 4000,
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_proof_is_refused(kind: str) -> None:
    with pytest.raises(Denied) as refused:
        proven(BAD[kind](ProofKey().proof("GET", PLACE)), method="GET", address=PLACE)
    assert refused.value.reason == "proof"


def test_a_proof_is_taken_once_and_while_its_nonce_is_young() -> None:
    key, nonces = ProofKey(), Nonces()

    def take(nonce: str, now: float, again: str = "") -> str:
        text = again or key.proof("GET", PLACE, nonce=nonce)
        nonces.take(proven(text, method="GET", address=PLACE), now=now)
        return text

    first = nonces.current(now=0)
    used = take(first, 1)
    with pytest.raises(Denied) as refused:
        take(first, 2, again=used)
    assert refused.value.reason == "proof-again"
    take(first, NONCE_SECONDS + 1)  # the last one still holds
    for late in (2 * NONCE_SECONDS + 1, 9 * NONCE_SECONDS):
        with pytest.raises(Denied) as refused:
            take(first, late)
        assert refused.value.reason == "proof-nonce"
    with pytest.raises(Denied):
        take("", 9 * NONCE_SECONDS)


def test_many_proofs_bring_the_next_nonce_early() -> None:
    key, nonces = ProofKey(), Nonces()
    proof = proven(key.proof("GET", PLACE, nonce=nonces.current(now=0)), method="GET", address=PLACE)
    for number in range(TAKEN_MAX):
        nonces.take(type(proof)(**{**{n: getattr(proof, n) for n in proof.__slots__}, "jti": f"jti-{number:06}"}), now=1)
    assert nonces.current(now=1) != proof.nonce
