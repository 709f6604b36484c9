"""The Merkle tree of the audit log (RFC 6962 2.1, RFC 9162 2.1): roots by recursion, proofs by rebuilding the path."""

from __future__ import annotations

import hashlib
from typing import Any

from spec.reader.refused import need


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than the size."""
    return 1 << ((size - 1).bit_length() - 1)


def root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    return node(root(leaves[: split(len(leaves))]), root(leaves[split(len(leaves)) :]))


def rooted(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root to which the proof leads; the proof is used up, the node nearest to the root last."""
    if size == 1:
        return leaf
    need(bool(proof), "inclusion")
    last, middle = proof.pop(), split(size)
    if index < middle:
        return node(rooted(leaf, index, middle, proof), last)
    return node(last, rooted(leaf, index - middle, size - middle, proof))


def check_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], wanted: bytes) -> None:
    need(0 <= index < size, "inclusion")
    left = list(proof)
    found = rooted(leaf, index, size, left)
    need(not left and found == wanted, "inclusion")


def both(old: int, size: int, old_root: bytes, proof: list[bytes], complete: bool) -> tuple[bytes, bytes]:
    """Old and new root of this part of the tree, as the proof has them (RFC 6962 2.1.2, run backwards)."""
    if old == size:
        if complete:
            return old_root, old_root
        need(bool(proof), "consistency")
        kept = proof.pop()
        return kept, kept
    need(bool(proof), "consistency")
    last, middle = proof.pop(), split(size)
    if old <= middle:
        before, after = both(old, middle, old_root, proof, complete)
        return before, node(after, last)
    before, after = both(old - middle, size - middle, old_root, proof, False)
    return node(last, before), node(last, after)


def check_consistency(old: int, old_root: bytes, size: int, wanted: bytes, proof: list[bytes]) -> None:
    need(0 < old <= size, "consistency")
    left = list(proof)
    before, after = both(old, size, old_root, left, True)
    need(not left and before == old_root and after == wanted, "consistency")


def raws(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def tree_root(given: dict[str, Any]) -> dict[str, Any]:
    return {"root": root(raws(given["leaves"]))}


def inclusion(given: dict[str, Any]) -> dict[str, Any]:
    leaf, wanted = raws([given["leaf"], given["root"]])
    check_inclusion(leaf, given["index"], given["size"], raws(given["proof"]), wanted)
    return {}


def consistency(given: dict[str, Any]) -> dict[str, Any]:
    old_root, wanted = raws([given["old_root"], given["root"]])
    check_consistency(given["old_size"], old_root, given["size"], wanted, raws(given["proof"]))
    return {}


FORMATS = {"tree-root": tree_root, "inclusion": inclusion, "consistency": consistency}
