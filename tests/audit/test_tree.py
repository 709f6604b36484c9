"""The audit tree against RFC 6962, and against every lie about it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.audit import entry, tree
from cloister.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    Node,
    Range,
    Tiles,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from cloister.base.errors import Corrupt, Invalid

# The eight leaves and the root that the Certificate Transparency project uses in its own tests.
CT_TEXTS = "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
CT_LEAVES = [bytes.fromhex(one) for one in CT_TEXTS]
CT_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"

leaf_lists = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70)


def plain_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(plain_root(leaves[:k]), plain_root(leaves[k:]))


def hashes(leaves: list[bytes], ranges: list[Range]) -> list[bytes]:
    return [plain_root(leaves[first:last]) for first, last in ranges]


def inclusion_proof(leaves: list[bytes], index: int) -> list[bytes]:
    return hashes(leaves, tree.inclusion_ranges(index, len(leaves)))


def consistency_proof(leaves: list[bytes], old: int) -> list[bytes]:
    return hashes(leaves, tree.consistency_ranges(old, len(leaves)))


def test_the_tree_of_certificate_transparency() -> None:
    assert tree_root(map(leaf_hash, CT_LEAVES)).hex() == CT_ROOT
    assert Frontier().root() == EMPTY_ROOT


@given(leaf_lists)
def test_the_frontier_gives_the_root_of_the_definition(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for count, leaf in enumerate(leaves, start=1):
        frontier.append(leaf)
        assert frontier.root() == plain_root(leaves[:count])


@given(leaf_lists, st.data())
def test_an_entry_is_shown_to_be_in_the_log_and_no_other_is(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = inclusion_proof(leaves, index), tree_root(leaves)
    verify_inclusion(leaves[index], index, len(leaves), proof, root)
    for wrong in (
        (leaf_hash(b"another entry"), index, len(leaves), proof, root),
        (leaves[index], index, len(leaves), [*proof, bytes(32)], root),
        (leaves[index], index, len(leaves), proof, bytes(32)),
        (leaves[index], len(leaves), len(leaves), proof, root),
        (leaves[index], -1, len(leaves), proof, root),
    ):
        with pytest.raises(Corrupt) as lie:
            verify_inclusion(*wrong)
        assert lie.value.reason == "inclusion"
    if proof:
        with pytest.raises(Corrupt):
            verify_inclusion(leaves[index], index, len(leaves), proof[:-1], root)


@given(leaf_lists, st.data())
def test_a_log_that_only_grew_is_shown_to_have_only_grown(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    proof, old_root, root = consistency_proof(leaves, old), tree_root(leaves[:old]), tree_root(leaves)
    verify_consistency(old, old_root, len(leaves), root, proof)
    rewritten = [leaf_hash(b"rewritten"), *leaves[1:]]
    if rewritten[0] != leaves[0]:
        with pytest.raises(Corrupt) as lie:
            verify_consistency(old, old_root, len(leaves), tree_root(rewritten), consistency_proof(rewritten, old))
        assert lie.value.reason == "consistency"
    for wrong in (
        (old, bytes(32), len(leaves), root, proof),
        (old, old_root, len(leaves), bytes(32), proof),
        (old, old_root, len(leaves), root, [*proof, bytes(32)]),
        (0, old_root, len(leaves), root, proof),
        (len(leaves) + 1, old_root, len(leaves), root, proof),
    ):
        with pytest.raises(Corrupt):
            verify_consistency(*wrong)


SIZES = (1, 2, 255, 256, 257, 511, 512, 5000, 65_535, 65_536, 66_000)


@pytest.fixture(scope="module")
def large() -> tuple[list[bytes], dict[tuple[int, int], bytes]]:
    """A log of 66,000 entries and the nodes that its table would hold."""
    leaves = [entry.leaf_hash(number.to_bytes(4, "big")) for number in range(SIZES[-1])]
    frontier, nodes = Frontier(), list[Node]()
    for leaf in leaves:
        frontier.append(leaf, nodes)
    return leaves, {(level, place): node for level, place, node in nodes}


class Reading:
    """Reads tiles as the database would, and counts them."""

    def __init__(self, leaves: list[bytes], nodes: dict[tuple[int, int], bytes], size: int) -> None:
        self.leaves, self.nodes, self.size, self.read = leaves[:size], nodes, size, 0

    def tiles(self, ranges: list[Range]) -> Tiles:
        wanted = tree.tiles_for(ranges)
        self.read += len(wanted)
        return Tiles({(level, number): self.tile(level, number) for level, number in wanted})

    def tile(self, level: int, number: int) -> list[bytes]:
        first = number * 256
        if level == 0:
            return self.leaves[first : first + 256]
        full = [place for place in range(first, first + 256) if (place + 1) << 8 * level <= self.size]
        return [self.nodes[level, place] for place in full]


@pytest.mark.parametrize("size", SIZES)
def test_any_proof_is_made_from_a_few_stored_tiles(large: tuple[list[bytes], dict[tuple[int, int], bytes]], size: int) -> None:
    reading = Reading(*large, size)
    root = reading.tiles([(0, size)]).hash((0, size))
    assert reading.tiles([(0, size)]).frontier(size).root() == root
    if size <= 5000:
        assert root == tree_root(reading.leaves)
    for index in {0, size // 3, size - 1}:
        ranges = tree.inclusion_ranges(index, size)
        before = reading.read
        read = reading.tiles(ranges)
        assert reading.read - before <= 6, "two tiles a level, three levels"
        verify_inclusion(reading.leaves[index], index, size, [read.hash(one) for one in ranges], root)
    for old in {1, size // 2 or 1, size - 1 or 1, size}:
        older = Reading(*large, old)
        ranges = tree.consistency_ranges(old, size)
        read = reading.tiles(ranges)
        verify_consistency(old, older.tiles([(0, old)]).hash((0, old)), size, root, [read.hash(one) for one in ranges])


def test_a_tile_that_was_cut_is_missed_by_name(large: tuple[list[bytes], dict[tuple[int, int], bytes]]) -> None:
    reading = Reading(*large, 5000)
    ranges = tree.inclusion_ranges(4999, 5000)
    cut = Tiles({tile: reading.tile(*tile)[:-1] for tile in tree.tiles_for(ranges)})
    with pytest.raises(Corrupt) as lie:
        [cut.hash(one) for one in ranges]
    assert lie.value.reason == "missing-node"


@given(st.integers(1, 10**12), st.data())
@settings(max_examples=200)
def test_ranges_of_proofs_tile_the_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert sorted([*tree.inclusion_ranges(index, size), (index, index + 1)])[-1][1] == size
    assert len(tree.tiles_for(tree.inclusion_ranges(index, size))) <= 2 * (size.bit_length() // 8 + 1)


def test_a_proof_is_asked_for_what_exists() -> None:
    for wrong in (lambda: tree.inclusion_ranges(1, 1), lambda: tree.consistency_ranges(0, 1), lambda: tree.consistency_ranges(2, 1)):
        with pytest.raises(Invalid):
            wrong()
    with pytest.raises(Corrupt):
        Frontier(3, [bytes(32)])
