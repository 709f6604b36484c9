"""Whoever holds the database, and even the log's own key, cannot change, cut or fork the audit log without a witness that says so."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from journeys_cast import Administrator, Company, created, patient, word
from running_trust import RunningTrust
from test_audit_comes_first import cloister

from cloister.audit import signed_checkpoint, store, tree
from cloister.zones import audit_keys

TABLES = ("audit.event", "audit.node", "audit.checkpoint", "audit.cosignature")
REPLICA = "set local session_replication_role = replica"


def report(trust: RunningTrust) -> dict[str, Any]:
    return dict(json.loads((trust.state / "audit-status" / "witnesses.json").read_text()))


def noticed(trust: RunningTrust, what: Callable[[dict[str, Any]], bool], seconds: float = 40) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while not what(found := report(trust)):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def settled(found: dict[str, Any]) -> bool:
    return not found["fault"] and all(not one["refused"] and one["size"] == found["size"] for one in found["witnesses"])


@contextmanager
def stopped(trust: RunningTrust, part: str) -> Iterator[None]:
    """The process stands still, so that what the administrator does is all that happens."""
    pid = trust.pid_of(part)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def written(besieged: RunningTrust, garrison: Company, intruder: Administrator) -> None:
    """A log of more than a tile, which every witness has signed."""
    program = garrison.program()
    for _ in range(5):
        created(program, patient(word()))
    time.sleep(1.5)  # the last of them stand under a checkpoint
    size = intruder.one("select max(seq) + 1 from audit.event")
    noticed(besieged, lambda found: found["size"] >= size and settled(found))


def test_both_witnesses_sign_each_checkpoint(besieged: RunningTrust, garrison: Company, written: None, intruder: Administrator) -> None:
    before = report(besieged)["size"]
    created(garrison.program(), patient(word()))
    found = noticed(besieged, lambda one: one["size"] > before and settled(one))
    assert [one["name"] for one in found["witnesses"]] == ["cloister.local/witness", "folder"]
    assert intruder.one("select count(*) from audit.cosignature") > 0
    assert (besieged.state / "checkpoints" / "latest.checkpoint").exists()


def test_a_checkpoint_on_paper_is_checked_one_day(besieged: RunningTrust, written: None, intruder: Administrator, tmp_path: Path) -> None:
    picture, kept = tmp_path / "checkpoint.svg", tmp_path / "checkpoint.txt"
    printed = cloister(besieged, "audit", "paper", "--picture", str(picture))
    assert printed.returncode == 0, printed.stderr
    assert picture.read_text().startswith("<?xml")
    kept.write_text(printed.stdout)
    log = f"{intruder.roots.trust_id}:{json.loads((besieged.state / 'public' / 'trust.json').read_text())['audit']}"
    checked = cloister(besieged, "witness", "check", str(kept), "--log", log)
    assert (checked.returncode, "1 signed checkpoints contradict nothing" in checked.stdout) == (0, True), checked.stderr
    assert cloister(besieged, "witness", "check", str(besieged.state / "checkpoints"), "--log", log).returncode == 0
    kept.write_text(printed.stdout.replace("\ntime 1", "\ntime 2"))
    assert cloister(besieged, "witness", "check", str(kept), "--log", log).returncode == 65
    assert cloister(besieged, "audit", "witnesses").returncode == 0


def test_an_edited_entry_is_named(besieged: RunningTrust, written: None, intruder: Administrator) -> None:
    with intruder.kept("audit.event"):
        intruder.change(REPLICA, "update audit.event set sealed = 'other' where seq = 17")
        assert "17" in noticed(besieged, lambda found: bool(found["fault"]))["fault"]
    noticed(besieged, settled)


def test_a_log_that_was_cut_back_to_an_older_checkpoint_is_refused_as_rolled_back(
    besieged: RunningTrust, written: None, intruder: Administrator
) -> None:
    """Everything fits together, as after putting back a backup: only somebody who remembers can tell."""
    older = "select max(size) from audit.checkpoint where size < (select max(size) from audit.checkpoint)"
    size = intruder.one(older)
    with stopped(besieged, "gate"), intruder.kept(*TABLES):
        intruder.change(
            REPLICA,
            ("delete from audit.event where seq >= $1", size),
            ("delete from audit.checkpoint where size > $1", size),
            ("delete from audit.node where (place + 1) << (8 * level) > $1", size),
        )
        found = noticed(besieged, lambda one: all(witness["refused"] == "rolled-back" for witness in one["witnesses"]))
        assert not found["fault"], "the database alone looks whole"
    noticed(besieged, settled)


def test_a_fork_signed_with_the_log_s_own_key_is_refused(besieged: RunningTrust, written: None, intruder: Administrator) -> None:
    trust = intruder.roots.trust_id
    signer = audit_keys.log_signer(trust, (besieged.state / "secrets" / "audit.key").read_bytes())
    rows = [store.row_of(row) for row in intruder.rows("select * from audit.event order by seq")]
    leaves = [row.leaf for row in rows]
    leaves[17] = tree.leaf_hash(b"another history")
    frontier, nodes = tree.Frontier(), list[tree.Node]()
    for leaf in leaves:
        frontier.append(leaf, nodes)
    forged = signed_checkpoint(signer.key.name, len(leaves), frontier.root(), datetime.now(UTC), (signer,))
    with stopped(besieged, "gate"), intruder.kept(*TABLES):
        changed = [("update audit.node set hash = $3 where level = $1 and place = $2", *node) for node in nodes]
        intruder.change(
            REPLICA,
            ("update audit.event set leaf = $1 where seq = 17", leaves[17]),
            *changed,
            (
                "insert into audit.checkpoint (size, at, note) values ($1, $2, $3) on conflict (size, at) do update set note = $3",
                *store.checkpoint_arguments(forged),
            ),
        )
        noticed(besieged, lambda one: bool(one["fault"]) or any(witness["refused"] == "forked" for witness in one["witnesses"]))
    noticed(besieged, settled)
