"""Who did what stays as it was written: changed, missing, added and rolled-back entries are refused by name."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.audit import Checkpoint, Entry, Log, Row, entry_from_wire, leaf_hash, resumed, store, verified_checkpoint, verified_root
from cloister.base.errors import Corrupt, Invalid
from cloister.zones import algorithms

NOW = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)
SEED = bytes(range(32))
PUBLIC = algorithms.sign_public(SEED)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def sign(message: bytes) -> bytes:
    return algorithms.sign(SEED, message)


def verify(message: bytes, signature: bytes) -> None:
    algorithms.verify(PUBLIC, message, signature)


def entry(number: int = 0, **changed: Any) -> Entry:
    terms = {"actor": "adele", "session": "s-1", "action": "read", "kind": "Patient", "object": f"p-{number}", "outcome": "success"}
    return Entry(at=NOW + timedelta(seconds=number), **{**terms, **changed})


def written(count: int) -> tuple[Log, list[Row]]:
    log = Log()
    rows = log.number(entry(number) for number in range(count))
    log.keep(rows)
    return log, rows


def refuses(reason: str, rows: list[Row], checkpoints: list[Checkpoint]) -> None:
    with pytest.raises(Corrupt) as error:
        verified_root(rows, checkpoints, verify)
    assert error.value.reason == reason


def test_a_log_is_verified_against_its_checkpoints() -> None:
    log, rows = written(20)
    half = Log()
    half.keep(rows[:7])
    checkpoints = [half.checkpoint("trust", NOW, sign), log.checkpoint("trust", NOW, sign)]
    assert verified_root(rows, checkpoints, verify) == log.root()
    assert verified_root([], [], verify) == Log().root()


def test_every_change_of_the_table_has_its_name() -> None:
    log, rows = written(10)
    checkpoint = [log.checkpoint("trust", NOW, sign)]
    changed = [*rows[:3], replace(rows[3], entry=entry(3, actor="bruno")), *rows[4:]]
    refuses("changed-entry", changed, checkpoint)
    refuses("missing-entry", [*rows[:3], *rows[4:]], checkpoint)
    refuses("missing-entry", [rows[1], rows[0], *rows[2:]], checkpoint)
    refuses("missing-entry", rows[1:], checkpoint)
    refuses("rolled-back", rows[:-1], checkpoint)
    refuses("rolled-back", [], checkpoint)
    other = entry(3, actor="bruno")
    rewritten = [*rows[:3], Row(3, other, other.leaf()), *rows[4:]]  # entry and leaf together
    refuses("rewritten", rewritten, checkpoint)


def test_a_forged_checkpoint_is_refused() -> None:
    log, rows = written(10)
    good = log.checkpoint("trust", NOW, sign)
    for change in ({"trust": "other"}, {"size": 9}, {"root": bytes(32)}, {"at": NOW + timedelta(seconds=1)}, {"signature": bytes(64)}):
        with pytest.raises(Corrupt) as error:
            verified_root(rows, [replace(good, **change)], verify)
        assert error.value.reason == "signature"
    empty = Log().checkpoint("trust", NOW, sign).nodes
    for change in ({"nodes": b""}, {"nodes": empty}, {"nodes": good.nodes[:-1] + b"\0"}, {"root": b"short"}):
        with pytest.raises(Corrupt) as error:
            verified_checkpoint(replace(good, **change), verify)
        assert error.value.reason in {"frontier", "checkpoint"}


def test_the_gate_goes_on_after_a_restart_from_the_last_checkpoint() -> None:
    log, rows = written(9)
    checkpoint = log.checkpoint("trust", NOW, sign)
    more = log.number([entry(9), entry(10)])
    log.keep(more)
    again = resumed(checkpoint, more, verify)
    assert (again.size, again.root()) == (11, log.root())
    assert resumed(None, [*rows, *more], verify).root() == log.root()
    with pytest.raises(Corrupt):
        resumed(checkpoint, more[1:], verify)


def test_a_failed_insert_leaves_no_gap() -> None:
    log, _ = written(3)
    lost = log.number([entry(3)])
    kept = log.number([entry(4)])
    log.keep(kept)
    assert kept[0].seq == 3
    with pytest.raises(Corrupt):
        log.keep(lost)
    assert log.size == 4


def test_a_checkpoint_on_paper_says_what_was_signed() -> None:
    log, _ = written(3)
    note = log.checkpoint("chu", NOW, sign).export()
    lines = note.splitlines()
    assert lines[:3] == ["cloister/audit-checkpoint/v1", "chu", "3"]
    assert note.count("\n\n") == 1


@given(text, text, text)
def test_no_two_entries_encode_alike(actor: str, session: str, action: str) -> None:
    one = entry(actor=actor, session=session, action=action)
    moved = entry(actor=actor + session, session="", action=action)
    assert (one.encoded() == moved.encoded()) == (one == moved)
    assert entry_from_wire(one.as_wire()) == one
    assert one.leaf() == leaf_hash(one.encoded())


def test_the_same_moment_in_another_time_zone_is_the_same_entry() -> None:
    paris = NOW.astimezone(timezone(timedelta(hours=1)))
    assert replace(entry(), at=paris).leaf() == entry().leaf()


IMPOSSIBLE = [{"actor": "a\0b"}, {"reason": "x" * 2_001}, {"object": "\ud800"}, {"source": 5}, {"at": datetime(2026, 1, 1)}]


@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_an_entry_that_cannot_be_stored_is_an_error_with_a_name(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        replace(entry(), **change)


@given(st.none() | st.integers() | st.dictionaries(st.sampled_from(["at", "actor", "leaf", "reason"]), st.none() | st.integers() | text))
def test_anything_on_the_wire_is_an_entry_or_refused(body: Any) -> None:
    with suppress(Invalid):
        assert isinstance(entry_from_wire(body), Entry)


def test_rows_go_to_the_table_and_come_back() -> None:
    log, rows = written(2)
    columns = store.append_arguments(rows)
    names = ("seq", "at", "actor", "session", "action", "kind", "object", "outcome", "reason", "source", "leaf")
    records = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    assert [store.row_of(record) for record in records] == rows
    checkpoint = log.checkpoint("trust", NOW, sign)
    record = dict(zip(("size", "root", "at", "signature", "nodes"), store.checkpoint_arguments(checkpoint), strict=True))
    assert store.checkpoint_of("trust", record) == checkpoint
