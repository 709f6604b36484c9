"""Section 27: documents, folders, names and journals of a sealed folder."""

from __future__ import annotations

import base64
import hmac
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from spec.reader.algorithms import gcm, hkdf, mac, raw, sha256, unseal
from spec.reader.encoding import packed
from spec.reader.refused import Refused, need

BLOCK = 65_536
HEADER, FOLDER_HEADER, RECORD = 136, 108, 80
NOTHING = bytes(16)
SET, KEEP, PRUNE, MOVE = 1, 2, 3, 4


def wrap_key(given: dict[str, Any], epoch: int) -> bytes:
    held = {int(number): bytes.fromhex(key) for number, key in given["keys"].items()}
    need(epoch in held, "epoch-floor" if epoch < max(held) else "epoch-missing")
    return hkdf(hkdf(held[epoch], "cloister/epoch/v1/files"), "cloister/files/v1/wrap")


def number(part: bytes) -> int:
    return int.from_bytes(part, "big")


def stored_length(size: int) -> int:
    return HEADER + size + -(-size // BLOCK) * 28


def document(given: dict[str, Any]) -> dict[str, Any]:
    (whole,) = raw(given, "document")
    need(len(whole) >= HEADER, "tag")
    need(whole[:4] == b"CLF1", "malformed")
    epoch, file, version, flags = number(whole[4:8]), whole[8:24], number(whole[24:32]), number(whole[32:36])
    commitment = whole[36:68]
    bound = packed("cloister/file/v1", given["trust"], given["zone"], epoch, file, version, flags, commitment)
    opened = unseal(wrap_key(given, epoch), whole[68:HEADER], bound)
    secret, size = opened[:32], number(opened[32:])
    keys = hmac.digest(secret, b"cloister/file/v1/keys", "sha512")
    need(keys[32:] == commitment, "commitment")
    need(len(whole) == stored_length(size), "tag")
    plain = b""
    for at, start in enumerate(range(HEADER, len(whole), BLOCK + 28)):
        block = whole[start : start + BLOCK + 28]
        plain += gcm(keys[:32], block[:12], block[12:], file + version.to_bytes(8, "big") + at.to_bytes(8, "big"))
    return {"hash": sha256(plain), "file": file, "version": version, "tag": commitment[:16]}


def name(given: dict[str, Any]) -> dict[str, Any]:
    secret, folder, sealed = raw(given, "secret", "folder", "sealed")
    try:
        plain = AESSIV(hkdf(secret, "cloister/folder/v1/names", 64)).decrypt(sealed, [folder])
    except (InvalidTag, ValueError):
        raise Refused("tag") from None
    short = "=" + text(sealed)
    return {"name": plain, "stored": short if len(short) - 1 <= 236 else "~" + text(sha256(sealed))}


def text(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def journal(given: dict[str, Any]) -> dict[str, Any]:
    (whole,) = raw(given, "journal")
    need(len(whole) >= FOLDER_HEADER, "tag")
    need(whole[:4] == b"CLD1", "malformed")
    epoch, folder = number(whole[4:8]), whole[8:24]
    secret = unseal(wrap_key(given, epoch), whole[24:84], packed("cloister/folder/v1", given["trust"], given["zone"], epoch, folder))
    key, count, chain = hkdf(secret, "cloister/folder/v1/journal"), number(whole[84:92]), whole[92:108]
    need(chain == mac(key, packed("cloister/journal/v1", folder, count))[:16], "chain-broken")
    live: dict[str, bytes] = {}
    kept: dict[str, list[bytes]] = {}
    for start in range(FOLDER_HEADER, len(whole) - RECORD + 1, RECORD):
        line = whole[start : start + RECORD]
        need(line[64:] == mac(key, chain + line[:64])[:16], "chain-broken")
        chain, count = line[64:], count + 1
        apply(line[0], line[16:32].hex(), line[32:48], line[48:64], live, kept)
    return {"count": count, "live": live, "kept": kept}


def apply(kind: int, where: str, old: bytes, new: bytes, live: dict[str, bytes], kept: dict[str, list[bytes]]) -> None:
    if kind == SET:
        live.pop(where, None)
        if new != NOTHING:
            live[where] = new
    elif kind == KEEP:
        kept.setdefault(where, []).append(new)
    elif kind == PRUNE:
        kept[where].remove(old)
    elif kind == MOVE and where in kept:
        kept[new.hex()] = kept.pop(where)


FORMATS = {"document": document, "file-name": name, "journal": journal}
