"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 2.1): roots, inclusion and consistency proofs.

Pure functions. `Frontier` keeps the few nodes that are needed to append; `Tiles` answers any proof from the stored
nodes of every eighth level, so that a proof reads a handful of tiles of 256 hashes, whatever the size of the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

from cloister.base.errors import Corrupt, Invalid

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8  # a tile holds 256 nodes of a level, as in C2SP tlog-tiles
TILE_NODES: Final = 1 << TILE_HEIGHT
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Range = tuple[int, int]  # entries from the first, up to and without the second
Node = tuple[int, int, bytes]  # level (1 is over 256 entries), place in the level, hash
Tile = tuple[int, int]  # level (0 holds leaves), number


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

    def append(self, leaf: bytes, completed: list[Node] | None = None) -> None:
        """`completed` collects the nodes that are stored: those of every eighth level that this entry makes full."""
        node, size, height = leaf, self.size, 0
        while size & 1:
            node = node_hash(self._nodes.pop(), node)
            size >>= 1
            height += 1
            if completed is not None and height % TILE_HEIGHT == 0:
                completed.append((height // TILE_HEIGHT, self.size >> height, node))
        self._nodes.append(node)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        return _folded(self._nodes)

    def copy(self) -> Frontier:
        return Frontier(self.size, self._nodes)


def _folded(nodes: Sequence[bytes]) -> bytes:
    """The root over full subtrees, largest first."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def tree_root(leaves: Iterable[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def subtrees(first: int, last: int) -> list[tuple[int, int]]:
    """(height, place) of the full subtrees over a range as a proof has it, largest first."""
    found = []
    while first < last:
        height = (last - first).bit_length() - 1
        found.append((height, first >> height))
        first += 1 << height
    return found


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """RFC 6962 2.1.1: the ranges whose hashes lead from entry `index` to the root of `size` entries, lowest first."""
    if not 0 <= index < size:
        raise Invalid("There is no such entry in the audit log.")
    first, last, found = 0, size, list[Range]()
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            found.append((middle, last))
            last = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def consistency_ranges(old_size: int, size: int) -> list[Range]:
    """RFC 6962 2.1.2: the ranges whose hashes show that the log of `old_size` entries is the beginning of this one."""
    if not 0 < old_size <= size:
        raise Invalid("The audit log was never of this size.")
    first, last, complete, found = 0, size, True, list[Range]()
    while old_size != last:
        middle = first + _split(last - first)
        if old_size <= middle:
            found.append((middle, last))
            last = middle
        else:
            found.append((first, middle))
            first, complete = middle, False
    if not complete:
        found.append((first, last))
    return found[::-1]


def _split(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << ((n - 1).bit_length() - 1)


def tiles_for(ranges: Iterable[Range], known: Container[tuple[int, int]] = ()) -> set[Tile]:
    """The tiles that `Tiles` must hold to hash these ranges, beside the full subtrees that are known."""
    wanted = {one for r in ranges for one in subtrees(*r) if one not in known}
    return {(height // TILE_HEIGHT, (place << height % TILE_HEIGHT) >> TILE_HEIGHT) for height, place in wanted}


class Tiles:
    """Tiles as they were read: of level 0 the leaves, of level n the stored nodes over 256**n entries each."""

    def __init__(self, tiles: Mapping[Tile, Sequence[bytes]], known: dict[tuple[int, int], bytes] | None = None) -> None:
        """`known` keeps the hashes of full subtrees, (height, place), from one use to the next."""
        self._tiles = tiles
        self._known = {} if known is None else known

    def hash(self, wanted: Range) -> bytes:
        return _folded([self._node(height, place) for height, place in subtrees(*wanted)])

    def frontier(self, size: int) -> Frontier:
        return Frontier(size, [self._node(height, place) for height, place in subtrees(0, size)])

    def _node(self, height: int, place: int) -> bytes:
        node = self._known.get((height, place))
        if node is None:
            level, above = divmod(height, TILE_HEIGHT)
            if above:
                node = node_hash(self._node(height - 1, 2 * place), self._node(height - 1, 2 * place + 1))
            else:
                tile = self._tiles.get((level, place >> TILE_HEIGHT), ())
                if place % TILE_NODES >= len(tile):
                    raise Corrupt("A part of the audit log's tree is missing.", hint="Run: cloister audit verify", reason="missing-node")
                node = tile[place % TILE_NODES]
            self._known[height, place] = node
        return node


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
