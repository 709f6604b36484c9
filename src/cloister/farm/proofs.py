"""Proofs of possession: each request is signed by the key that its ticket names. RFC 9449 (DPoP), RFC 7638, ES256.

A browser holds that key as a WebCrypto key that nobody can take out; a stolen cookie is useless without it. A proof names
method, address and a nonce of whoever checks it, and is taken once. Clocks of workstations play no part: the nonce is the time.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.base.errors import Corrupt, Denied
from cloister.machines import web_keys
from cloister.zones import algorithms

TYPE: Final = "dpop+jwt"
KIND: Final = (TYPE, "ES256", "EC", "P-256")
CHARACTERS_MAX: Final = 2048
CLOCK_SECONDS: Final = 300.0  # how far a program's clock may be off; the nonce says more exactly when a proof was made
NONCE_SECONDS: Final = 120.0  # the present and the last one are taken, so a proof is of the last four minutes at most
TAKEN_MAX: Final = 5000  # proofs remembered for one nonce; then the next nonce begins early


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a proof says, its signature verified by the key that it carries; whose key that is, the caller compares."""

    jkt: str
    jti: str
    method: str
    address: str
    nonce: str
    ath: str
    made: float = 0.0  # `iat`; 0 where it is missing


def refused(why: str) -> Denied:
    return Denied("This request is not proven by the key of its ticket.", hint="Sign in again.", reason=why)


def thumbprint(public: bytes) -> str:
    """RFC 7638 of a P-256 point in uncompressed form."""
    x, y = _text(public[1:33]), _text(public[33:])
    return _text(algorithms.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode("ascii")))


def read_proof(text: str) -> Proof:
    """Raises Denied(proof) unless it is a DPoP proof that its own key signed (RFC 9449 4.3, points 2 to 7)."""
    try:
        if len(text) > CHARACTERS_MAX or not text.isascii():
            raise ValueError
        head, body, signature = text.split(".")
        header, claims = json.loads(_raw(head)), json.loads(_raw(body))
        jwk = header["jwk"]
        if (
            header["typ"] != TYPE
            or header["alg"] != "ES256"
            or "crit" in header
            or jwk["kty"] != "EC"
            or jwk["crv"] != "P-256"
            or "d" in jwk
        ):
            raise ValueError
        public = b"\x04" + _sized(jwk["x"]) + _sized(jwk["y"])
        web_keys.es256_verify(public, f"{head}.{body}".encode("ascii"), _raw(signature))
        said = [claims["jti"], claims["htm"], claims["htu"], claims.get("nonce", ""), claims.get("ath", "")]
        made = claims.get("iat", 0)
        if not all(isinstance(one, str) for one in said) or not 8 <= len(said[0]) <= 128 or type(made) not in (int, float):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise refused("proof") from None
    except Corrupt:
        raise refused("proof") from None
    return Proof(jkt=thumbprint(public), jti=said[0], method=said[1], address=said[2], nonce=said[3], ath=said[4], made=float(made))


def proven(text: str, *, method: str, address: str) -> Proof:
    """A proof for this very request; the caller still compares key and nonce. Raises Denied(proof)."""
    proof = read_proof(text)
    if proof.method != method or plain_address(proof.address) != plain_address(address):
        raise refused("proof-elsewhere")
    return proof


def plain_address(address: str) -> str:
    """Without query and fragment (RFC 9449 4.3, point 9); scheme and host in small letters, without the usual port (RFC 3986 6.2)."""
    scheme, mark, rest = address.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{mark}{host.lower().removesuffix(':443')}{slash}{path}"


def of_token(proof: Proof, token: str, *, clock: float, seconds: float = CLOCK_SECONDS) -> None:
    """For a program's access token: made now, for this very token (RFC 9449 4.3, points 11 and 12). `token` empty: before there is one.

    `clock`: seconds since 1970, as `iat` is. Raises Denied(proof-old, proof-token)."""
    if abs(clock - proof.made) > seconds:
        raise refused("proof-old")
    if token and not algorithms.same(token_hash(token).encode(), proof.ath.encode()):
        raise refused("proof-token")


@dataclass(slots=True)
class _Nonce:
    value: str
    born: float
    taken: set[str] = field(default_factory=set)


class Nonces:
    """The nonces of one checker, and the proofs it has taken under each: both are bounded, and nothing is stored."""

    def __init__(self) -> None:
        self._present: _Nonce | None = None
        self._last: _Nonce | None = None

    def current(self, *, now: float) -> str:
        """The value to offer (RFC 9449 8.2, `DPoP-Nonce`)."""
        present = self._present
        if present is None or now - present.born >= NONCE_SECONDS or len(present.taken) >= TAKEN_MAX:
            self._last = present if present is not None and now - present.born < 2 * NONCE_SECONDS else None
            present = self._present = _Nonce(_text(algorithms.random(12)), now)
        return present.value

    def take(self, proof: Proof, *, now: float) -> None:
        """Accept this proof, once. Raises Denied(proof-nonce) when it must be made anew, Denied(proof-again) when it came before."""
        self.current(now=now)
        for nonce in (self._present, self._last):
            if nonce is not None and algorithms.same(nonce.value.encode(), proof.nonce.encode()):
                if now - nonce.born >= 2 * NONCE_SECONDS:
                    break
                if proof.jti in nonce.taken:
                    raise refused("proof-again")
                nonce.taken.add(proof.jti)
                return
        raise refused("proof-nonce")


class ProofKey:
    """A client's side, for programs and command lines: a key in memory, and proofs by it."""

    def __init__(self) -> None:
        self._key = web_keys.Es256Key()
        public = self._key.public
        self.jkt = thumbprint(public)
        jwk = {"crv": "P-256", "kty": "EC", "x": _text(public[1:33]), "y": _text(public[33:])}
        self._head = _text(json.dumps({"alg": "ES256", "jwk": jwk, "typ": TYPE}, separators=(",", ":")).encode())

    def __repr__(self) -> str:
        return f"ProofKey({self.jkt})"

    def proof(self, method: str, address: str, *, nonce: str = "", token: str = "") -> str:
        """`address` without query and fragment (RFC 9449 4.2); `token`: an access token that goes along."""
        claims: dict[str, Any] = {"jti": _text(algorithms.random(12)), "htm": method, "htu": address, "iat": int(time.time())}
        claims |= {"nonce": nonce} if nonce else {}
        claims |= {"ath": token_hash(token)} if token else {}
        signed = f"{self._head}.{_text(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{_text(self._key.sign(signed.encode('ascii')))}"


def token_hash(token: str) -> str:
    return _text(algorithms.sha256(token.encode("ascii")))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _sized(text: str) -> bytes:
    raw = _raw(text)
    if len(raw) != 32:
        raise ValueError
    return raw
