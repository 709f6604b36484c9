"""Vectors of the audit log's Merkle tree (RFC 6962 2.1, RFC 9162 2.1): roots and proofs. Run: see __main__.py."""

from __future__ import annotations

import hashlib
from typing import Any

from _cast import case, flipped

LEAVES = [hashlib.sha256(b"\x00" + bytes([n])).digest() for n in range(7)]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    middle = split(len(leaves))
    return node(root(leaves[:middle]), root(leaves[middle:]))


def split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def path(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*path(leaves[:middle], index), root(leaves[middle:])]
    return [*path(leaves[middle:], index - middle), root(leaves[:middle])]


def between(leaves: list[bytes], old: int, complete: bool = True) -> list[bytes]:
    if old == len(leaves):
        return [] if complete else [root(leaves)]
    middle = split(len(leaves))
    if old <= middle:
        return [*between(leaves[:middle], old, complete), root(leaves[middle:])]
    return [*between(leaves[middle:], old - middle, False), root(leaves[:middle])]


def cases() -> list[dict[str, Any]]:
    found = [case(f"a tree of {n}", "tree-root", {"leaves": LEAVES[:n]}, {"root": root(LEAVES[:n])}) for n in range(8)]
    for size in (1, 2, 3, 6, 7):
        for index in range(size):
            given = {"leaf": LEAVES[index], "index": index, "size": size, "proof": path(LEAVES[:size], index), "root": root(LEAVES[:size])}
            found.append(case(f"entry {index} of {size}", "inclusion", given, {}))
    for size in (1, 4, 6, 7):
        for old in range(1, size + 1):
            found.append(case(f"{old} before {size}", "consistency", grown(old, size), {}))
    return [*found, *refused_inclusions(), *refused_consistencies()]


def grown(old: int, size: int) -> dict[str, Any]:
    leaves = LEAVES[:size]
    return {"old_size": old, "old_root": root(leaves[:old]), "size": size, "root": root(leaves), "proof": between(leaves, old)}


def refused_inclusions() -> list[dict[str, Any]]:
    proof = path(LEAVES, 4)
    given = {"leaf": LEAVES[4], "index": 4, "size": 7, "proof": proof, "root": root(LEAVES)}
    wrong: dict[str, dict[str, Any]] = {
        "another leaf": {"leaf": LEAVES[5]},
        "another place": {"index": 5},
        "a place beyond the end": {"index": 7},
        "a place before the beginning": {"index": -1},
        "another size": {"size": 5},
        "an empty tree": {"size": 0, "index": 0},
        "another root": {"root": root(LEAVES[:6])},
        "a proof cut short": {"proof": proof[:-1]},
        "a proof too long": {"proof": [*proof, LEAVES[0]]},
        "a changed proof": {"proof": [flipped(proof[0]), *proof[1:]]},
        "a swapped proof": {"proof": proof[::-1]},
        "no proof": {"proof": []},
    }
    return [case(f"inclusion: {name}", "inclusion", {**given, **change}, expect="inclusion") for name, change in wrong.items()]


def refused_consistencies() -> list[dict[str, Any]]:
    given = grown(3, 7)
    proof = given["proof"]
    wrong: dict[str, dict[str, Any]] = {
        "another old root": {"old_root": root(LEAVES[1:4])},
        "another new root": {"root": root(LEAVES[::-1])},
        "another old size": {"old_size": 4},
        "another size": {"size": 9},
        "an empty old log": {"old_size": 0},
        "a log that shrank": {"old_size": 7, "size": 3},
        "a proof cut short": {"proof": proof[:-1]},
        "a proof too long": {"proof": [*proof, LEAVES[0]]},
        "a changed proof": {"proof": [flipped(proof[0]), *proof[1:]]},
        "no proof": {"proof": []},
        "a proof where none is due": {"old_size": 7, "old_root": root(LEAVES), "proof": proof},
        "two roots of one size": {"old_size": 7, "old_root": root(LEAVES[::-1]), "proof": []},
    }
    return [case(f"consistency: {name}", "consistency", {**given, **change}, expect="consistency") for name, change in wrong.items()]
