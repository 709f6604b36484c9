"""Checkpoints as signed notes (C2SP): what was signed is what is read, and everything else is refused by name."""

from __future__ import annotations

from contextlib import suppress

import pytest
from audit_cast import NOW, SIGNER, STRONG, TRUST, written
from hypothesis import given
from hypothesis import strategies as st

from cloister.audit import Checkpoint, checkpoint, note, signed_checkpoint, verified_checkpoint
from cloister.base.errors import Corrupt
from cloister.zones import algorithms, audit_keys

# The example of C2SP tlog-witness: a checkpoint with two signatures under one name.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


@pytest.fixture(scope="module")
def signed() -> Checkpoint:
    log, _ = written(3)
    return signed_checkpoint(SIGNER.key.name, log.size, log.root(), NOW, (SIGNER, STRONG))


def test_a_checkpoint_says_what_was_signed(signed: Checkpoint) -> None:
    text, _, lines = signed.note.rpartition("\n\n")
    assert text.split("\n")[:2] == [f"cloister.audit/{TRUST}", "3"]
    assert all(line.startswith(f"\u2014 cloister.audit/{TRUST} ") for line in lines.splitlines())
    found = verified_checkpoint(signed.note, SIGNER.key)
    assert (found.size, found.root, found.at) == (3, signed.root, NOW.replace(microsecond=0))
    assert verified_checkpoint(signed.note, STRONG.key) == found, "the ML-DSA-65 signature stands by itself"


def test_notes_of_others_are_read(signed: Checkpoint) -> None:
    read = note.parsed_note(EXAMPLE)
    assert [name for name, _, _ in read.lines] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    with pytest.raises(Corrupt):
        checkpoint.parsed_checkpoint(EXAMPLE)  # without the time that this trust's log signs


def test_anything_changed_in_a_checkpoint_is_refused(signed: Checkpoint) -> None:
    for was, is_now in (
        ("\n3\n", "\n4\n"),
        ("time 1", "time 2"),
        (TRUST, "other"),
        ("\n\n", "\n"),
        ("\n3\n", "\n03\n"),
        ("cloister", "\n"),
    ):
        forged = signed.note.replace(was, is_now, 1)
        assert forged != signed.note
        with pytest.raises(Corrupt):
            verified_checkpoint(forged, SIGNER.key)
    with pytest.raises(Corrupt):
        verified_checkpoint(signed.note[:-1], SIGNER.key)
    with pytest.raises(Corrupt) as lie:
        verified_checkpoint(signed.note, audit_keys.log_key(TRUST, algorithms.sign_public(bytes(32))))
    assert lie.value.reason == "signature"


def test_a_witness_signs_when_it_saw_which_checkpoint(signed: Checkpoint) -> None:
    witness = audit_keys.witness_signer("witness.example/paper", bytes(range(3, 35)))
    both = signed.note + witness.cosignature(signed.parsed.text, 1_790_000_000)
    assert note.parsed_note(both).witnessed(witness.key) == 1_790_000_000
    assert verified_checkpoint(both, SIGNER.key).size == 3
    other = signed_checkpoint(SIGNER.key.name, 4, bytes(32), NOW, (SIGNER,)).note + both.splitlines(keepends=True)[-1]
    with pytest.raises(Corrupt):
        note.parsed_note(other).witnessed(witness.key)
    with pytest.raises(Corrupt):
        note.parsed_note(signed.note).witnessed(witness.key)


@given(st.text(max_size=200))
def test_any_text_is_a_note_or_refused(text: str) -> None:
    for candidate in (text, EXAMPLE[:100] + text, text + EXAMPLE):
        with suppress(Corrupt):
            assert candidate.startswith(note.parsed_note(candidate).text)
