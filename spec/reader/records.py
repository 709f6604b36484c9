"""Sections 10, 11 and 12: versions, index parts, rows, compression, commits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zstandard

from spec.reader.algorithms import hkdf, mac, raw, sha256, unseal
from spec.reader.certificates import known
from spec.reader.encoding import body, encode, packed
from spec.reader.offices import COUNT, MS, trusted
from spec.reader.refused import Refused, need
from spec.reader.trust import opened, split

DICTIONARIES = Path(__file__).resolve().parents[2] / "src" / "cloister" / "zones"  # files of bytes, named in section 11
CONTENT_MAX = 64 * 1024 * 1024
MAGIC = bytes.fromhex("28b52ffd")


def use(key: bytes, name: str) -> bytes:
    return hkdf(key, f"cloister/dossier/v1/{name}")


def version(given: dict[str, Any]) -> dict[str, Any]:
    key, sealed = raw(given, "key", "sealed")
    kind, id = given["type"].encode(), given["id"].encode()
    bound = packed("cloister/version/v1", given["trust"], given["dossier"], given["key_no"])
    bound += bytes([len(kind)]) + kind + bytes([len(id)]) + id
    bound += given["version"].to_bytes(8, "big") + given["dict_no"].to_bytes(4, "big")
    compressed = unseal(use(key, "versions"), sealed, bound)
    return {"compressed": compressed, "plain": plain(given["dict_no"], compressed).decode(), "commitment": use(key, "commitment")}


def index_part(given: dict[str, Any]) -> dict[str, Any]:
    key, sealed = raw(given, "key", "sealed")
    bound = packed("cloister/index-part/v1", given["dossier"], given["key_no"], given["part_no"])
    return {"plain": unseal(use(key, "index"), sealed, bound)}


def root_of(parts: dict[str, bytes]) -> bytes:
    """Of part number -> SHA-256 of the sealed part."""
    numbered = sorted((int(number), hashed) for number, hashed in parts.items())
    return sha256(
        packed("cloister/index-parts/v1", len(parts)) + b"".join(number.to_bytes(8, "big") + hashed for number, hashed in numbered)
    )


def parts_root(given: dict[str, Any]) -> dict[str, Any]:
    return {"root": root_of({number: bytes.fromhex(hashed) for number, hashed in given["parts"].items()})}


def row(given: dict[str, Any]) -> dict[str, Any]:
    sealed, indexed = raw(given, "sealed", "indexed_hash")
    need(given["version"] >= given["indexed_version"], "rolled-back")
    need(given["version"] <= given["indexed_version"], "extra-row")
    need(sha256(sealed) == indexed, "swapped")
    return {}


def plain(dict_no: int, compressed: bytes) -> bytes:
    dictionary = None
    if dict_no:
        file = DICTIONARIES / f"dictionary-{dict_no}.zstd"
        need(file.exists(), "algorithm")
        dictionary = zstandard.ZstdCompressionDict(file.read_bytes())
    need(len(compressed) % 32 == 0, "malformed")
    try:
        size = zstandard.frame_content_size(MAGIC + compressed)
        need(0 <= size <= CONTENT_MAX, "malformed")
        return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(MAGIC + compressed, max_output_size=CONTENT_MAX)
    except zstandard.ZstdError:
        raise Refused("malformed") from None


def compression(given: dict[str, Any]) -> dict[str, Any]:
    return {"plain": plain(given["dict_no"], *raw(given, "compressed")).decode()}


def opened_commit(blob: bytes, given: dict[str, Any], key: bytes | None) -> dict[str, Any]:
    """The commit with its author and hash; the proof is checked where the key is at hand."""
    certificates, signer = known(given), split(blob)[2]
    need(len(signer) == 64 and set(signer) <= set("0123456789abcdef"), "malformed")
    found = opened("cloister/commit/v1", blob, certificates.chained(bytes.fromhex(signer)).public)
    trusted(found, given["trust"])
    body(
        found, trust=str, dossier=str, seq=COUNT, previous=32, count=range(1 << 63), versions=32, parts=32,
        key_no=range(1 << 31), commitment=32, time=MS, proof=32,
    )  # fmt: skip
    author = certificates.valid(bytes.fromhex(signer), found["time"])
    need(found["dossier"] == given["dossier"], "swapped")
    if key is not None:
        need(found["key_no"] == given["key_no"], "swapped")
        rest = {name: value for name, value in found.items() if name != "proof"}
        need(found["commitment"] == use(key, "commitment") and found["proof"] == mac(use(key, "proof"), encode(rest)), "commitment")
    return {**found, "author": author.person, "hash": sha256(blob)}


def commit(given: dict[str, Any]) -> dict[str, Any]:
    blob, key = raw(given, "blob", "key")
    found = opened_commit(blob, given, key)
    return {name: value for name, value in found.items() if name not in ("trust", "proof")}


def chain(given: dict[str, Any]) -> dict[str, Any]:
    (key,) = raw(given, "key")
    hashes, before, known_head, number = list[bytes](), bytes(32), given["known"], None
    for seq, text in enumerate(given["commits"], start=1):
        blob = bytes.fromhex(text)
        found = opened_commit(blob, given, None)
        if found["key_no"] == given["key_no"]:
            opened_commit(blob, given, key)
        need(found["seq"] == seq and found["previous"] == before, "chain-broken")
        need(number in (None, found["key_no"]) or (number == found["key_no"] - 1 and found["count"] == 0), "chain-broken")
        number = found["key_no"]
        before = found["hash"]
        hashes.append(before)
    if known_head is not None:
        need(len(hashes) >= known_head["seq"], "rolled-back")
        need(hashes[known_head["seq"] - 1].hex() == known_head["hash"], "chain-broken")
    return {"hashes": hashes}


def entry(one: dict[str, Any]) -> bytes:
    sealed = bytes.fromhex(one["sealed"])
    return packed("cloister/version-entry/v1", one["type"], one["id"], one["version"], int(one["deleted"]), sha256(sealed))


def commit_versions(given: dict[str, Any]) -> dict[str, Any]:
    blob, key = raw(given, "blob", "key")
    found, entries = opened_commit(blob, given, key), sorted(entry(one) for one in given["rows"])
    need(len(entries) >= found["count"], "missing-row")
    need(len(entries) <= found["count"], "extra-row")
    need(sha256(packed("cloister/versions/v1", len(entries)) + b"".join(entries)) == found["versions"], "swapped")
    return {}


def commit_parts(given: dict[str, Any]) -> dict[str, Any]:
    blob, key = raw(given, "blob", "key")
    found = opened_commit(blob, given, key)
    need(root_of({number: sha256(bytes.fromhex(sealed)) for number, sealed in given["parts"].items()}) == found["parts"], "parts")
    return {}


FORMATS = {
    "version": version,
    "index-part": index_part,
    "parts-root": parts_root,
    "row": row,
    "compression": compression,
    "commit": commit,
    "chain": chain,
    "commit-versions": commit_versions,
    "commit-parts": commit_parts,
}
