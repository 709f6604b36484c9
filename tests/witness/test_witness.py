"""A witness signs what continues what it has seen, and refuses everything else by name, also after it was killed."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_cast import NOW, SIGNER, TRUST, sealed

from cloister.audit import Checkpoint, note, signed_checkpoint, tree
from cloister.base.errors import Corrupt
from cloister.witness import Folder, FolderWitness, Refusal, Refused, Submission, Witness, serve
from cloister.witness.judge import parsed_submission
from cloister.zones import audit_keys

WITNESS = audit_keys.witness_signer("chu.example/witness", bytes(range(5, 37)))


class Growing:
    """A log whose leaves are kept, so that it can be cut, forked and proved."""

    def __init__(self, count: int = 0, **changed: str) -> None:
        self.leaves = [sealed(number, **changed).leaf() for number in range(count)]

    def grown(self, count: int, **changed: str) -> Growing:
        other = Growing()
        other.leaves = [*self.leaves, *(sealed(number, **changed).leaf() for number in range(len(self.leaves), count))]
        return other

    def checkpoint(self) -> Checkpoint:
        return signed_checkpoint(SIGNER.key.name, len(self.leaves), tree.tree_root(self.leaves), NOW, (SIGNER,))

    def submission(self, old: int) -> Submission:
        ranges = tree.consistency_ranges(old, len(self.leaves)) if 0 < old <= len(self.leaves) else []
        return Submission(old, tuple(tree.tree_root(self.leaves[first:last]) for first, last in ranges), self.checkpoint().note)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(SIGNER.key, WITNESS, Folder(tmp_path / "w"))


def refusal(witness: Witness, given: Submission) -> Refusal:
    with pytest.raises(Refused) as refused:
        witness.add(given)
    return refused.value.refusal


def test_a_witness_signs_a_log_that_only_grew(witness: Witness) -> None:
    log = Growing(5)
    for old, size in ((0, 5), (5, 5), (5, 300), (300, 301)):
        log = log.grown(size)
        line = witness.add(log.submission(old))
        assert note.parsed_note(log.checkpoint().note + line).witnessed(WITNESS.key) > 1_700_000_000
    assert witness.seen is not None
    assert witness.seen.size == 301
    assert witness.evidence == []


def test_a_cut_a_fork_and_a_rollback_are_refused_by_name_and_kept_as_evidence(witness: Witness) -> None:
    log = Growing(40)
    witness.add(log.submission(0))
    cut = Growing(30)
    assert refusal(witness, cut.submission(30)) is Refusal.ROLLED_BACK
    assert refusal(witness, cut.submission(0)) is Refusal.ROLLED_BACK
    fork = Growing(20).grown(60, actor="mallory")
    assert refusal(witness, fork.submission(40)) is Refusal.FORKED
    assert refusal(witness, Growing(20).grown(40, actor="mallory").submission(40)) is Refusal.FORKED
    edited = log.grown(41)
    edited.leaves[7] = sealed(7, actor="mallory").leaf()
    assert refusal(witness, edited.submission(40)) is Refusal.FORKED
    assert [one["refusal"] for one in witness.evidence] == ["rolled-back", "forked", "forked", "forked"]
    witness.add(log.grown(41).submission(40))


def test_what_is_not_this_logs_word_is_refused(witness: Witness) -> None:
    log = Growing(3)
    witness.add(log.submission(0))
    other = audit_keys.log_signer("other-trust", bytes(range(32)))
    foreign = signed_checkpoint(other.key.name, 3, bytes(32), NOW, (other,)).note
    assert refusal(witness, Submission(3, (), foreign)) is Refusal.UNKNOWN_LOG
    mallory = audit_keys.log_signer(TRUST, bytes(32))
    assert refusal(witness, Submission(3, (), signed_checkpoint(SIGNER.key.name, 9, bytes(32), NOW, (mallory,)).note)) is Refusal.SIGNATURE
    assert refusal(witness, log.grown(9).submission(2)) is Refusal.OLD_SIZE
    for text in ("", "old 3", "old 03\n\nx", "old -1\n\nx", "new 3\n\nx", "old 3\n!!!\n\nx", "old 0\n" + "AA==\n" * 64 + "\nx"):
        with pytest.raises(Refused) as refused:
            parsed_submission(text)
        assert refused.value.refusal is Refusal.MALFORMED


def test_a_witness_remembers_every_word_after_it_was_killed(tmp_path: Path, witness: Witness) -> None:
    log = Growing(40)
    witness.add(log.submission(0))
    again = Witness(SIGNER.key, WITNESS, Folder(tmp_path / "w"))
    assert refusal(again, Growing(30).submission(0)) is Refusal.ROLLED_BACK
    (tmp_path / "w" / "witness.json").write_text("{")
    with pytest.raises(Corrupt, match="memory"):
        Witness(SIGNER.key, WITNESS, Folder(tmp_path / "w"))


def test_a_restored_log_is_watched_again_only_when_it_is_answered_for(witness: Witness) -> None:
    witness.add(Growing(40).submission(0))
    restored = Growing(30)
    witness.start_again(restored.checkpoint().note, "signed by two officers")
    witness.add(restored.grown(35, actor="somebody").submission(30))
    assert [one["refusal"] for one in witness.evidence] == ["restored"]


@pytest.fixture
def asked(witness: Witness, tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    server = serve(witness, ("127.0.0.1", 0))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    yield connection
    connection.close()
    server.shutdown()
    server.server_close()


def test_over_http_it_speaks_tlog_witness(asked: http.client.HTTPConnection) -> None:
    def post(given: Submission | str) -> tuple[int, str, str]:
        asked.request("POST", "/add-checkpoint", (given if isinstance(given, str) else given.text()).encode())
        answer = asked.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read().decode()

    log = Growing(5)
    status, _, line = post(log.submission(0))
    assert (status, line.startswith("\u2014 chu.example/witness ")) == (200, True)
    assert post(log.grown(9).submission(2)) == (409, "text/x.tlog.size", "5\n")
    assert post(Growing(5, actor="mallory").submission(5))[0] == 422
    assert post(Growing(4).submission(4)) == (409, "text/x.tlog.size", "5\n")
    assert post("nonsense")[0] == 400
    asked.request("GET", "/latest")
    assert asked.getresponse().read().decode() == log.checkpoint().note
    asked.request("GET", "/evidence")
    assert [one["refusal"] for one in json.loads(asked.getresponse().read())] == ["forked", "rolled-back"]


def test_a_folder_keeps_checkpoints_that_prove_each_other(tmp_path: Path) -> None:
    folder = FolderWitness(SIGNER.key, Folder(tmp_path / "mount"))
    log = Growing(5)
    folder.add(log.submission(0))
    folder.add(log.grown(300).submission(5))
    with pytest.raises(Refused) as refused:
        folder.add(Growing(299).submission(299))
    assert refused.value.refusal is Refusal.ROLLED_BACK
    again = FolderWitness(SIGNER.key, Folder(tmp_path / "mount"))
    assert again.seen is not None
    assert (again.seen.size, [one.size for one in again.check()]) == (300, [5, 300])
    with pytest.raises(Refused):
        again.add(Growing(300, actor="mallory").submission(300))
    other = Growing(5, actor="mallory").submission(0)
    (tmp_path / "mount" / "0000000000000005-9.checkpoint").write_text(other.text())
    with pytest.raises(Corrupt, match="forked"):
        again.check()


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be used"):
        Folder(tmp_path / "file" / "x")
    folder = Folder(tmp_path / "f")
    os.symlink("/etc/passwd", tmp_path / "f" / "link")
    with pytest.raises(OSError):
        folder.read("link")
