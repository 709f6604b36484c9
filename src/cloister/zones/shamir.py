"""Two of n: one secret as n shares, any two of which give it back and one of which says nothing.

Shamir's scheme (CACM 22(11), 1979) with a line over GF(2^8) for each byte, x^8+x^4+x^3+x+1 as in FIPS 197 4.2.
Products are computed bit by bit of the public factor, without tables: no address and no branch depends on a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloister.zones import algorithms
from cloister.zones.refusals import Forged, Refusal

THRESHOLD: Final = 2
SHARES_MAX: Final = 255


def times(secret: int, public: int) -> int:
    """The product of two elements of GF(2^8)."""
    product = 0
    while public:
        product ^= secret & -(public & 1)
        secret = (secret << 1 & 0xFF) ^ (0x1B & -(secret >> 7))
        public >>= 1
    return product


def inverse(public: int) -> int:
    """a^254, which is 1/a for a != 0 (Fermat)."""
    power, result = public, 1
    for _ in range(7):
        power = times(power, power)
        result = times(result, power)
    return result


def shares(secret: bytes, count: int, *, slope: bytes | None = None) -> list[bytes]:
    """The shares at x = 1 to `count`. `slope` is random and fixed only by the test vectors."""
    if not THRESHOLD <= count <= SHARES_MAX:
        raise Forged(Refusal.MALFORMED)
    line = algorithms.random(len(secret)) if slope is None else slope
    return [bytes(s ^ times(a, x) for s, a in zip(secret, line, strict=True)) for x in range(1, count + 1)]


def joined(parts: Mapping[int, bytes]) -> bytes:
    """The secret from two shares by their x; Forged(malformed) for anything but two good places of one length."""
    if len(parts) != THRESHOLD or any(not 1 <= x <= SHARES_MAX for x in parts) or len({len(share) for share in parts.values()}) != 1:
        raise Forged(Refusal.MALFORMED)
    (x1, y1), (x2, y2) = parts.items()
    over = inverse(x1 ^ x2)
    left, right = times(x2, over), times(x1, over)
    return bytes(times(a, left) ^ times(b, right) for a, b in zip(y1, y2, strict=True))
