"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 2.1): roots, inclusion and consistency proofs.

Pure functions over leaf hashes. `Frontier` keeps the few nodes that are needed to append, so that the root
after every entry costs a handful of hashes, whatever the size of the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from cloister.base.errors import Corrupt, Invalid

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the full subtrees of a log, largest first: one for each one-bit of its size."""

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(nodes) != size.bit_count() or any(len(node) != HASH_BYTES for node in nodes):
            raise Corrupt("The audit tree's frontier does not fit its size.", reason="frontier")
        self.size = size
        self._nodes = list(nodes)

    def append(self, leaf: bytes) -> None:
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self._nodes.pop(), node)
            size >>= 1
        self._nodes.append(node)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = node_hash(node, root)
        return root

    def copy(self) -> Frontier:
        return Frontier(self.size, self._nodes)

    def to_bytes(self) -> bytes:
        """size (8 bytes) | nodes."""
        return self.size.to_bytes(8, "big") + b"".join(self._nodes)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Frontier:
        if len(raw) < 8 or (len(raw) - 8) % HASH_BYTES:
            raise Corrupt("The audit tree's frontier is cut short.", reason="frontier")
        return cls(int.from_bytes(raw[:8], "big"), [raw[at : at + HASH_BYTES] for at in range(8, len(raw), HASH_BYTES)])


def tree_root(leaves: Iterable[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def _split(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << ((n - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 6962 2.1.1: the nodes that lead from leaf `index` to the root of all `leaves`."""
    if not 0 <= index < len(leaves):
        raise Invalid("There is no such entry in the audit log.")
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*inclusion_proof(leaves[:middle], index), tree_root(leaves[middle:])]
    return [*inclusion_proof(leaves[middle:], index - middle), tree_root(leaves[:middle])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 2.1.3.2; raises Corrupt(inclusion) unless the leaf stands at `index` under `root`."""
    if not 0 <= index < size:
        raise Corrupt("The entry is not in this audit log.", reason="inclusion")
    node, place, last = leaf, index, size - 1
    for other in proof:
        if last == 0:
            raise Corrupt("The entry is not in this audit log.", reason="inclusion")
        if place & 1 or place == last:
            node = node_hash(other, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, other)
        place, last = place >> 1, last >> 1
    if last or node != root:
        raise Corrupt("The entry is not in this audit log.", reason="inclusion")


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """RFC 6962 2.1.2: shows that the log of `old_size` entries is the beginning of this one."""
    if not 0 < old_size <= len(leaves):
        raise Invalid("The audit log was never of this size.")
    return _subproof(leaves, old_size, complete=True)


def _subproof(leaves: Sequence[bytes], old_size: int, *, complete: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if complete else [tree_root(leaves)]
    middle = _split(len(leaves))
    if old_size <= middle:
        return [*_subproof(leaves[:middle], old_size, complete=complete), tree_root(leaves[middle:])]
    return [*_subproof(leaves[middle:], old_size - middle, complete=False), tree_root(leaves[:middle])]


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 2.1.4.2; raises Corrupt(consistency) unless the newer log only added to the older one."""
    broken = Corrupt("The audit log was rewritten: the newer one does not continue the older one.", reason="consistency")
    if not 0 < old_size <= size:
        raise broken
    if old_size == size:
        if proof or old_root != root:
            raise broken
        return
    nodes = list(proof)
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        raise broken
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = nodes[0]
    for other in nodes[1:]:
        if last == 0:
            raise broken
        if place & 1 or place == last:
            older, newer = node_hash(other, older), node_hash(other, newer)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, other)
        place, last = place >> 1, last >> 1
    if last or older != old_root or newer != root:
        raise broken
