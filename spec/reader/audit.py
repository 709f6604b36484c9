"""Section 14: sealed audit entries, the privacy office's data keys, checkpoints and their witnesses, and what is on record."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from spec.reader.algorithms import Kem, check_signature, hkdf, mac, raw, sha256, unseal
from spec.reader.encoding import packed
from spec.reader.refused import Refused, need
from spec.reader.tree import check_inclusion

LABEL = b"cloister/audit-entry/v2"
TEXTS = ("actor", "session", "action", "kind", "object", "outcome", "reason", "source", "patient", "turn")
ED25519, COSIGNATURE = b"\x01", b"\x04"
STALE_SECONDS = 600


def opened_key(given: dict[str, Any], number: int, sealed: bytes) -> bytes:
    return Kem(*raw(given, "seed")).open(sealed, packed("cloister/audit-key/v1", given["trust"], given["office"], number))


def token(key: bytes, what: str, text: str) -> int:
    found = mac(hkdf(key, "cloister/audit-key/v1/token"), what.encode() + b"\x00" + text.encode())
    return int.from_bytes(found[:8], "big", signed=True) if text else 0


def data_key(given: dict[str, Any]) -> dict[str, Any]:
    return {"token": token(opened_key(given, given["number"], *raw(given, "sealed")), given["what"], given["text"])}


def clear_of(at: int, source: str, number: int, category: str, named: bytes) -> bytes:
    parts = [LABEL, at.to_bytes(8, "big", signed=True), number.to_bytes(8, "big")]
    for one in (source.encode(), category.encode(), named):
        parts += [len(one).to_bytes(1, "big"), one]
    return b"".join(parts)


def texts_of(plain: bytes) -> dict[str, str]:
    texts, at = {}, 0
    for name in TEXTS:
        end = at + 2 + int.from_bytes(plain[at : at + 2], "big")
        try:
            texts[name] = plain[at + 2 : end].decode()
        except UnicodeDecodeError:
            raise Refused("entry") from None
        need("\x00" not in texts[name] and len(texts[name].encode()) <= 2_000, "entry")
        at = end
    need(at <= len(plain) and not any(plain[at:]), "entry")
    return texts


def audit_entry(given: dict[str, Any]) -> dict[str, Any]:
    named, body, sealed = raw(given, "named", "body", "data_key")
    clear = clear_of(given["at"], given["source"], given["number"], given["category"], named)
    key = opened_key(given, given["key"], sealed)
    texts = texts_of(unseal(hkdf(key, "cloister/audit-key/v1/seal"), body, clear))
    private = sha256(b"".join(given[name].to_bytes(8, "big", signed=True) for name in ("key", "actor", "object", "patient")) + body)
    return {"texts": texts, "leaf": sha256(b"\x00" + clear + private)}


def parsed(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text and the signature lines of a note: name, key id, signature."""
    text, mark, lines = note.rpartition("\n\n")
    need(bool(mark) and lines.endswith("\n"), "note")
    found = []
    for line in lines[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, body = rest.partition(" ")
        try:
            both = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Refused("note") from None
        need(dash == "\u2014" and bool(name) and len(both) > 4, "note")
        found.append((name, both[:4], both[4:]))
    return text + "\n", found


def signature_by(lines: list[tuple[str, bytes, bytes]], name: str, kind: bytes, public: bytes) -> bytes:
    id = sha256(name.encode() + b"\n" + kind + public)[:4]
    found = next((signature for who, key, signature in lines if (who, key) == (name, id)), None)
    if found is None:
        raise Refused("signature")
    return found


def checked(note: str, trust: str, public: bytes) -> tuple[int, bytes, int]:
    """Size, root and time of a checkpoint that the log of this trust signed with this key."""
    text, lines = parsed(note)
    try:
        origin, size, root, time = text[:-1].split("\n")
        hashed = base64.b64decode(root, validate=True)
        seconds = int(time.removeprefix("time "))
        exact = f"{origin}\n{int(size)}\n{base64.b64encode(hashed).decode()}\ntime {seconds}\n"
    except (ValueError, binascii.Error):
        raise Refused("checkpoint") from None
    need(exact == text and len(hashed) == 32 and int(size) >= 0, "checkpoint")
    name = f"cloister.audit/{trust}"
    need(origin == name, "origin")
    check_signature(public, text.encode(), signature_by(lines, name, ED25519, public))
    return int(size), hashed, seconds


def checkpoint(given: dict[str, Any]) -> dict[str, Any]:
    size, root, seconds = checked(given["note"], given["trust"], *raw(given, "public"))
    return {"size": size, "root": root, "time": seconds}


def witnessed(given: dict[str, Any]) -> dict[str, Any]:
    (public,) = raw(given, "public")
    text, lines = parsed(given["note"])
    found = signature_by(lines, given["name"], COSIGNATURE, public)
    need(len(found) > 8, "signature")
    seconds = int.from_bytes(found[:8], "big")
    check_signature(public, f"cosignature/v1\ntime {seconds}\n{text}".encode(), found[8:])
    return {"time": seconds}


def on_record(given: dict[str, Any]) -> dict[str, Any]:
    """The hashes of signed objects that are proved to be in the log."""
    proofs = given["proofs"]
    need(isinstance(proofs, dict) and {"note", "entries", "paths", "nodes"} <= set(proofs), "malformed")
    size, root, seconds = checked(proofs["note"], given["trust"], *raw(given, "public"))
    need(given["now"] / 1000 - seconds <= STALE_SECONDS, "audit-stale")
    need(len(proofs["entries"]) == len(proofs["paths"]) and all(len(row) == 7 for row in proofs["entries"]), "malformed")
    nodes, hashes = [bytes.fromhex(one) for one in proofs["nodes"]], []
    for (hashed, place, at, source, number, category, private), path in zip(proofs["entries"], proofs["paths"], strict=True):
        need(category == "trust" and all(one < len(nodes) for one in path), "not-in-audit")
        leaf = sha256(b"\x00" + clear_of(at, source, number, category, bytes.fromhex(hashed)) + bytes.fromhex(private))
        try:
            check_inclusion(leaf, place, size, [nodes[one] for one in path], root)
        except Refused:
            raise Refused("not-in-audit") from None
        hashes.append(hashed)
    return {"hashes": sorted(hashes)}


FORMATS = {"audit-data-key": data_key, "audit-entry": audit_entry, "checkpoint": checkpoint, "witnessed": witnessed, "on-record": on_record}
