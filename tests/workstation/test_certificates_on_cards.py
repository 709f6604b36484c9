"""What the card agent reads of a certificate, and that nothing on a card can break the reading."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from card_rig import certificate_of, new_key
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cloister.workstation.x509 import NotReadable, read_certificate

KEYS = {kind: new_key(kind) for kind in ("P-256", "P-384", "RSA")}
GENUINE = [certificate_of(key, "Claire Vasseur", datetime(2027, 3, 1, tzinfo=UTC)) for key in KEYS.values()]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("ends", [datetime(2027, 3, 1, 12, 30, 5, tzinfo=UTC), datetime(2061, 1, 1, tzinfo=UTC)])
def test_its_holder_its_end_and_its_key_are_read(kind: str, ends: datetime) -> None:
    key = KEYS[kind]
    read = read_certificate(certificate_of(key, "Inès Lefèvre", ends), b"\x01")
    public = key.public_key()
    assert (read.name, read.not_after, read.for_people) == ("Inès Lefèvre", int(ends.timestamp()) * 1000, True)
    assert read.key == sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        assert (read.modulus, read.exponent, read.curve) == (numbers.n, numbers.e, "")
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert (read.curve, read.point) == (kind, public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


@given(st.binary(max_size=600))
def test_bytes_that_are_no_certificate_are_passed_over(raw: bytes) -> None:
    with pytest.raises(NotReadable):
        read_certificate(raw)


@given(st.sampled_from(GENUINE), st.data())
def test_a_damaged_certificate_is_read_or_passed_over_and_breaks_nothing(der: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(der) - 1))
    damaged = der[:place] + data.draw(st.binary(max_size=3)) + der[place + data.draw(st.integers(0, 3)) :]
    with suppress(NotReadable):
        read_certificate(damaged)
