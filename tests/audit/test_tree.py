"""The audit tree against RFC 6962, and against every lie about it."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.audit import Frontier, leaf_hash, verify_consistency, verify_inclusion
from cloister.audit.tree import EMPTY_ROOT, consistency_proof, inclusion_proof, node_hash, tree_root
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


def test_the_tree_of_certificate_transparency() -> None:
    assert tree_root(map(leaf_hash, CT_LEAVES)).hex() == CT_ROOT
    assert Frontier().root() == EMPTY_ROOT


@given(leaf_lists)
def test_the_frontier_gives_the_root_of_the_definition(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for count, leaf in enumerate(leaves, start=1):
        frontier.append(leaf)
        assert frontier.root() == plain_root(leaves[:count])
        again = Frontier.from_bytes(frontier.to_bytes())
        assert (again.size, again.root()) == (count, frontier.root())


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


@given(st.binary(max_size=120))
@settings(max_examples=50)
def test_any_bytes_given_as_a_frontier_are_one_or_refused(raw: bytes) -> None:
    with suppress(Corrupt):
        assert Frontier.from_bytes(raw).to_bytes() == raw


def test_a_proof_is_asked_for_what_exists() -> None:
    leaves = [leaf_hash(b"a")]
    for wrong in (lambda: inclusion_proof(leaves, 1), lambda: consistency_proof(leaves, 0), lambda: consistency_proof(leaves, 2)):
        with pytest.raises(Invalid):
            wrong()
    with pytest.raises(Corrupt):
        Frontier(3, [bytes(32)])
