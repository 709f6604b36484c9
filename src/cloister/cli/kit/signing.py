"""The kit's list of files and its signature: `sha256sum -c` and `openssl pkeyutl -verify` are enough to check them anywhere.

SHA256SUMS has a line a file, sorted; SHA256SUMS.sig is an Ed25519 signature of it (RFC 8032), 64 bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from cloister.base.errors import Corrupt, Invalid, NotFound
from cloister.base.settings import Settings
from cloister.zones import Forged, algorithms

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
KEY_FILE: Final = "workstation-kit.key"
SPKI: Final = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: SubjectPublicKeyInfo of an Ed25519 key, before its 32 bytes
BEGIN, END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


def signer(settings: Settings) -> algorithms.SignPrivate:
    """The trust's key for kits: made at the first use, kept beside its other secrets."""
    path = settings.secrets_folder / KEY_FILE
    if not settings.secrets_folder.is_dir():
        raise NotFound(f"There is no trust in {settings.state}.", hint="Run this where the trust runs, or set CLOISTER_STATE.")
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    return algorithms.SignPrivate(path.read_bytes())


def public_pem(public: bytes) -> str:
    return f"{BEGIN}\n{base64.b64encode(SPKI + public).decode()}\n{END}\n"


def public_of(pem: str) -> bytes:
    """The 32 bytes of a key in PEM; Invalid for anything else."""
    try:
        der = base64.b64decode("".join(pem.partition(BEGIN)[2].partition(END)[0].split()), validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if not der.startswith(SPKI) or len(der) != len(SPKI) + 32:
        raise Invalid("This is no Ed25519 public key in PEM.", hint="Take what `cloister workstation key` prints.")
    return der[len(SPKI) :]


def fingerprint(public: bytes) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo, as people compare it."""
    digest = hashlib.sha256(SPKI + public).hexdigest()
    return " ".join(digest[start : start + 4] for start in range(0, 64, 4))


def sums_of(folder: Path) -> str:
    files = sorted(one for one in folder.rglob("*") if one.is_file() and one.name not in (SUMS, SIGNATURE))
    return "".join(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.relative_to(folder).as_posix()}\n" for one in files)


def sign(folder: Path, key: algorithms.SignPrivate) -> None:
    text = sums_of(folder).encode()
    (folder / SUMS).write_bytes(text)
    (folder / SIGNATURE).write_bytes(key.sign(text))


def check(folder: Path, public: bytes) -> int:
    """The number of files, all of them as they were signed; raises Corrupt otherwise, NotFound without a list."""
    try:
        text, signature = (folder / SUMS).read_bytes(), (folder / SIGNATURE).read_bytes()
    except OSError as missing:
        raise NotFound(f"There is no signed kit in {folder}.", hint="Name the folder that `cloister workstation kit` made.") from missing
    try:
        algorithms.verify(public, text, signature)
    except Forged as forged:
        raise Corrupt("This kit was not signed with that key.", hint="Compare the key's fingerprint with the trust's.") from forged
    if text != sums_of(folder).encode():
        raise Corrupt("A file of this kit was changed, added or taken away after it was signed.", hint="Fetch the kit again.")
    return text.count(b"\n")
