"""A program's signed word of who it is: taken for us, for now, under a registered key, and for nothing else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloister.base.errors import Invalid
from cloister.gateway import assertions, clients
from cloister.zones import algorithms

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
TOKEN = "https://trust.example/oauth2/token"
CURVE, CURVE_JWK = algorithms.program_key(algorithms.new_program_key())
_RSA = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
RSA, RSA_JWK = algorithms.program_key(_RSA)
KEYS = clients.checked_keys({"keys": [CURVE_JWK, RSA_JWK]})
GOOD: dict[str, Any] = {"iss": "lab", "sub": "lab", "aud": TOKEN, "exp": NOW.timestamp() + 240, "jti": "one"}


def _text(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(key: Any = CURVE, header: dict[str, Any] | None = None, **changed: Any) -> str:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    head = {"alg": "ES384" if key is CURVE else "RS384", "typ": "JWT", **(header or {})}
    body = f"{_text(head)}.{_text(claims)}"
    raw = algorithms.program_sign(key, body.encode())
    return f"{body}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def prove(text: str, keys: list[dict[str, Any]] = KEYS, now: datetime = NOW) -> assertions.Proved:
    return assertions.proved_assertion(assertions.read_assertion(text), keys, [TOKEN], now=now)


@pytest.mark.parametrize("key", [CURVE, RSA], ids=["ES384", "RS384"])
def test_an_assertion_of_a_registered_key_is_taken(key: Any) -> None:
    assert prove(signed(key)).until >= NOW + timedelta(minutes=4)
    assert prove(signed(key, aud=["https://other.example", TOKEN])).digest == prove(signed(key)).digest


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": NOW.timestamp() + 3600},
        {"exp": NOW.timestamp() - 60},
        {"exp": "soon"},
        {"exp": 1e300},
        {"exp": None},
        {"jti": None},
        {"jti": "x" * 300},
        {"aud": "https://other.example/token"},
        {"iss": "somebody-else"},
        {"nbf": NOW.timestamp() + 60},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_not_for_us_and_for_now_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        prove(signed(**changed))


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"alg": "RS384"}, {"crit": ["exp"]}, {"kid": "other"}]
)
def test_the_key_decides_the_algorithm(header: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        prove(signed(header=header), keys=[{**KEYS[0], "kid": "mine"}, KEYS[1]])


def test_another_key_and_a_changed_word_are_refused() -> None:
    with pytest.raises(Invalid):
        prove(signed(), keys=[KEYS[1]])
    with pytest.raises(Invalid):
        prove(signed(), keys=[])
    head, _, signature = signed().split(".")
    with pytest.raises(Invalid):
        prove(f"{head}.{_text({**GOOD, 'sub': 'root', 'iss': 'root'})}.{signature}")


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "....", "é.é.é", "A" * 9000, f"{_text([])}.{_text([])}.x"])
def test_what_is_no_assertion_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        assertions.read_assertion(text)


def test_only_public_keys_of_two_kinds_are_registered() -> None:
    for wrong in (
        {"keys": []},
        {"keys": [{**CURVE_JWK, "d": "x"}]},
        {"kty": "oct", "k": "x"},
        {"kty": "EC", "crv": "P-256"},
        "x",
        {"keys": [1]},
    ):
        with pytest.raises(Invalid):
            clients.checked_keys(wrong)


@pytest.mark.parametrize(
    "address",
    ["http://app.example/back", "https://app.example/#x", "https://u@app.example/", "https://*.example/", "javascript:alert(1)", "/back"],
)
def test_a_redirect_goes_to_one_exact_https_address(address: str) -> None:
    with pytest.raises(Invalid):
        clients.checked_redirect(address)
    assert clients.checked_redirect("https://app.example/back?x=1")
    assert clients.checked_redirect("http://localhost:4200/back")
