"""ML-KEM-768 (FIPS 203) in plain Python, for the half of a key that stands beside an EC card's.

A workstation has no other: the agent is one file for a bare Debian. Written for reading, not for speed (about 20 ms), and
not in constant time: it runs beside its own user's programs only, once a sign-in. Tested against OpenSSL's.
"""

from __future__ import annotations

import hashlib
from typing import Final

Q: Final = 3329
K: Final = 3
ETA: Final = 2
DU, DV = 10, 4
PUBLIC_BYTES: Final = 384 * K + 32
CIPHERTEXT_BYTES: Final = 32 * (DU * K + DV)
SEED_BYTES: Final = 64

Poly = list[int]


def _reversed7(i: int) -> int:
    return int(f"{i:07b}"[::-1], 2)


_ZETA: Final = [pow(17, _reversed7(i), Q) for i in range(128)]  # 4.3, algorithm 9
_GAMMA: Final = [pow(17, 2 * _reversed7(i) + 1, Q) for i in range(128)]  # 4.3, algorithm 11


def _ntt(f: Poly) -> Poly:
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            zeta, i = _ZETA[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def _ntt_back(f: Poly) -> Poly:
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            zeta, i = _ZETA[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]  # 128^-1 mod q


def _times(f: Poly, g: Poly) -> Poly:
    out = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a * c + b * d % Q * _GAMMA[i]) % Q, (a * d + b * c) % Q]
    return out


def _plus(*polys: Poly) -> Poly:
    return [sum(column) % Q for column in zip(*polys, strict=True)]


def _dot(one: list[Poly], other: list[Poly]) -> Poly:
    return _plus(*(_times(f, g) for f, g in zip(one, other, strict=True)))


def _sample(seed: bytes) -> Poly:
    """Uniform, from SHAKE128 (algorithm 7): 1,008 bytes are enough for 256 coefficients but for about once in 2^70."""
    out: Poly = []
    size = 1008
    while len(out) < 256:
        stream, out = hashlib.shake_128(seed).digest(size), []
        for a, b, c in zip(*[iter(stream)] * 3, strict=True):
            out += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
        size += 504
    return out[:256]


def _noise(seed: bytes, n: int) -> Poly:
    """Centred binomial with eta 2 (algorithm 8), from SHAKE256."""
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([n])).digest(64 * ETA), "little")
    return [((bits >> 4 * i & 1) + (bits >> 4 * i + 1 & 1) - (bits >> 4 * i + 2 & 1) - (bits >> 4 * i + 3 & 1)) % Q for i in range(256)]


def _encode(f: Poly, d: int) -> bytes:
    return sum(x << d * i for i, x in enumerate(f)).to_bytes(32 * d, "little")


def _decode(raw: bytes, d: int) -> Poly:
    number = int.from_bytes(raw, "little")
    return [number >> d * i & (1 << d) - 1 for i in range(256)]


def _compress(f: Poly, d: int) -> Poly:
    return [((x << d) + Q // 2) // Q & (1 << d) - 1 for x in f]


def _decompress(f: Poly, d: int) -> Poly:
    return [(x * Q + (1 << d - 1)) >> d for x in f]


def _matrix(rho: bytes) -> list[list[Poly]]:
    return [[_sample(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def _keys(d: bytes) -> tuple[bytes, list[Poly]]:
    """(encapsulation key, secret vector), 5.1."""
    expanded = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = expanded[:32], expanded[32:]
    secret = [_ntt(_noise(sigma, i)) for i in range(K)]
    error = [_ntt(_noise(sigma, K + i)) for i in range(K)]
    public = [_plus(_dot(row, secret), error[i]) for i, row in enumerate(_matrix(rho))]
    return b"".join(_encode(f, 12) for f in public) + rho, secret


def _encrypt(public: bytes, message: bytes, coins: bytes) -> bytes:
    """5.2."""
    t, matrix = [_decode(public[384 * i : 384 * i + 384], 12) for i in range(K)], _matrix(public[384 * K :])
    y = [_ntt(_noise(coins, i)) for i in range(K)]
    columns = [[matrix[i][j] for i in range(K)] for j in range(K)]
    u = [_plus(_ntt_back(_dot(column, y)), _noise(coins, K + j)) for j, column in enumerate(columns)]
    v = _plus(_ntt_back(_dot(t, y)), _noise(coins, 2 * K), _decompress(_decode(message, 1), 1))
    return b"".join(_encode(_compress(f, DU), DU) for f in u) + _encode(_compress(v, DV), DV)


def _decrypt(secret: list[Poly], sealed: bytes) -> bytes:
    """5.3."""
    u = [_decompress(_decode(sealed[32 * DU * i : 32 * DU * (i + 1)], DU), DU) for i in range(K)]
    v = _decompress(_decode(sealed[32 * DU * K :], DV), DV)
    masked = _ntt_back(_dot(secret, [_ntt(f) for f in u]))
    return _encode(_compress([(a - b) % Q for a, b in zip(v, masked, strict=True)], 1), 1)


def public_of(seed: bytes) -> bytes:
    """The encapsulation key of a seed d | z."""
    return _keys(seed[:32])[0]


def encapsulate(public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """(shared secret, ciphertext), from 32 fresh random bytes."""
    expanded = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    return expanded[:32], _encrypt(public, message, expanded[32:])


def decapsulate(seed: bytes, sealed: bytes) -> bytes:
    """The shared secret; of anything that was not sealed to this seed another one (implicit rejection, 6.3)."""
    public, secret = _keys(seed[:32])
    shared, again = encapsulate(public, _decrypt(secret, sealed))
    return shared if again == sealed else hashlib.shake_256(seed[32:] + sealed).digest(32)
