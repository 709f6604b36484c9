"""Puts a private key and its certificate onto a card: `card_import.py LABEL PIN USE KEY CERTIFICATE`.

A process of its own, because SoftHSM2 reads where its cards are once a process. The key may do what USE says and nothing else,
which pkcs11-tool cannot say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from cloister.workstation import Module, pkcs11
from cloister.workstation.pkcs11 import Template

SOFTHSM: Final = "/usr/lib/softhsm/libsofthsm2.so"
CERTIFICATE_TYPE, SUBJECT, EC_PARAMS = 0x80, 0x101, 0x180
MODULUS, PUBLIC_EXPONENT, PRIVATE_EXPONENT, PRIME_1, PRIME_2, EXPONENT_1, EXPONENT_2, COEFFICIENT = 0x120, *range(0x122, 0x129)
CURVES: Final = {"secp256r1": bytes.fromhex("06082a8648ce3d030107"), "secp384r1": bytes.fromhex("06052b81040022")}
USES: Final = {"derive": pkcs11.DERIVE, "decrypt": pkcs11.DECRYPT, "sign": pkcs11.SIGN}


def raw(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def key_template(der: bytes, use: str) -> Template:
    key = load_der_private_key(der, None)
    own: Template = {pkcs11.CLASS: pkcs11.PRIVATE_KEY, pkcs11.TOKEN: True, pkcs11.PRIVATE: True, pkcs11.ID: b"\x01"}
    own |= {pkcs11.SENSITIVE: True, pkcs11.EXTRACTABLE: False, **{kind: name == use for name, kind in USES.items()}}
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        numbers = {MODULUS: n.public_numbers.n, PUBLIC_EXPONENT: n.public_numbers.e, PRIVATE_EXPONENT: n.d, PRIME_1: n.p, PRIME_2: n.q}
        numbers |= {EXPONENT_1: n.dmp1, EXPONENT_2: n.dmq1, COEFFICIENT: n.iqmp}
        return own | {pkcs11.KEY_TYPE: pkcs11.RSA} | {kind: raw(number) for kind, number in numbers.items()}
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    value = key.private_numbers().private_value
    return own | {pkcs11.KEY_TYPE: pkcs11.EC, EC_PARAMS: CURVES[key.curve.name], pkcs11.VALUE: raw(value)}


def main(label: str, pin: str, use: str, key: str, certificate: str) -> None:
    module = Module.load(SOFTHSM)
    token = next(one for one in module.tokens() if one.label == label)
    shown: Template = {pkcs11.CLASS: pkcs11.CERTIFICATE, pkcs11.TOKEN: True, pkcs11.PRIVATE: False, CERTIFICATE_TYPE: 0}
    with module.session(token.slot, writing=True) as session:
        session.login(pin)
        session.create(key_template(Path(key).read_bytes(), use))
        session.create({**shown, SUBJECT: b"0\0", pkcs11.ID: b"\x01", pkcs11.VALUE: Path(certificate).read_bytes()})
    module.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
