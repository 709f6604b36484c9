"""Who did what stays as it was written: changed, missing, added and rolled-back entries are refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from audit_cast import KEY, NOW, OFFICE, SIGNER, TRUST, entry, opened_key, sealed, written
from hypothesis import given
from hypothesis import strategies as st

from cloister.audit import Checkpoint, Log, Row, Walk, opened_entry, resumed, sealed_entry, signed_checkpoint, store
from cloister.base.errors import Corrupt, Invalid
from cloister.zones import algorithms, audit_keys

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def signed(log: Log) -> Checkpoint:
    return signed_checkpoint(SIGNER.key.name, log.size, log.root(), NOW, (SIGNER,))


def walked(rows: list[Row], checkpoints: list[Checkpoint]) -> bytes:
    walk = Walk(checkpoints)
    for row in rows:
        walk.row(row)
    return walk.done()


def refuses(reason: str, rows: list[Row], checkpoints: list[Checkpoint]) -> None:
    with pytest.raises(Corrupt) as error:
        walked(rows, checkpoints)
    assert error.value.reason == reason


def test_a_log_is_verified_against_its_checkpoints() -> None:
    log, step = written(20)
    half = Log()
    half.check(step.rows[:7])
    assert walked(list(step.rows), [signed(half), signed(log), signed(log)]) == log.root()
    assert walked([], []) == Log().root()


def test_every_change_of_the_table_has_its_name() -> None:
    log, step = written(10)
    rows, checkpoint = list(step.rows), [signed(log)]
    for change in (
        {"at": NOW}, {"source": "session@2"}, {"number": 5}, {"category": "session"}, {"named": bytes(32)}, {"key": 2},
        {"actor": 1}, {"object": 1}, {"patient": 1}, {"body": bytes(100)},
    ):  # fmt: skip
        refuses("changed-entry", [*rows[:3], replace(rows[3], entry=replace(rows[3].entry, **change)), *rows[4:]], checkpoint)
    refuses("missing-entry", [*rows[:3], *rows[4:]], checkpoint)
    refuses("missing-entry", [rows[1], rows[0], *rows[2:]], checkpoint)
    refuses("missing-entry", rows[1:], checkpoint)
    refuses("rolled-back", rows[:-1], checkpoint)
    refuses("rolled-back", [], checkpoint)
    other = sealed(3, actor="bruno")
    refuses("rewritten", [*rows[:3], Row(3, other, other.leaf()), *rows[4:]], checkpoint)


def test_a_source_that_numbered_what_was_never_written_is_named() -> None:
    log = Log()
    kept = [sealed(number) for number in (0, 1, 4)] + [sealed_entry(entry(7), "controller@1", 1, KEY)]
    walk = Walk([])
    for row in log.step(kept).rows:
        walk.row(row)
    assert walk.gaps == ["session@1: entries 3 to 4 missing"]


def test_the_gate_goes_on_after_a_restart_from_the_last_checkpoint() -> None:
    log, step = written(9)
    checkpoint, frontier = signed(log), step.after.copy()
    more = log.step([sealed(9), sealed(10)])
    log.keep(more)
    again = resumed(checkpoint, frontier, more.rows)
    assert (again.size, again.root()) == (11, log.root())
    assert resumed(None, None, [*step.rows, *more.rows]).root() == log.root()
    with pytest.raises(Corrupt, match="missing"):
        resumed(checkpoint, step.after.copy(), more.rows[1:])
    with pytest.raises(Corrupt) as lie:
        resumed(replace(checkpoint, root=bytes(32)), step.after.copy(), more.rows)
    assert lie.value.reason == "rewritten"


def test_a_failed_insert_leaves_no_gap_in_the_numbers() -> None:
    log, _ = written(3)
    lost = log.step([sealed(3)])
    kept = log.step([sealed(4)])
    log.keep(kept)
    assert kept.rows[0].seq == 3
    with pytest.raises(Corrupt):
        log.keep(lost)
    assert log.size == 4


def test_operations_see_that_something_was_done_and_nothing_of_who_or_whom() -> None:
    one = sealed(actor="p-vasseur", object="Observation/7", patient="5f1c", reason="on call", session="s-77")
    shown = repr(one).replace(repr(one.body), "") + str(one.body)
    for secret in ("p-vasseur", "Observation", "5f1c", "on call", "s-77"):
        assert secret not in shown
    assert len(one.body) % 64 == 28, "nonce and tag around a padded text"
    assert opened_key().opened(one) == entry(actor="p-vasseur", object="Observation/7", patient="5f1c", reason="on call", session="s-77")


def test_a_privacy_officer_finds_by_person_object_and_patient_and_only_with_the_hours_key() -> None:
    one, key = sealed(actor="p-vasseur", object="Observation/7", patient="5f1c"), opened_key()
    wanted = {"actor": "p-vasseur", "object": "Observation/7", "patient": "5f1c"}
    assert {what: getattr(one, what) for what in wanted} == {what: key.token(what, text) for what, text in wanted.items()}
    assert key.token("actor", "5f1c") != key.token("patient", "5f1c"), "what was meant belongs to the token"
    next_hour = audit_keys.new_data_key(TRUST, 2, NOW, audit_keys.PrivacyOffice("privacy-office/1", OFFICE.public))
    assert next_hour.token("actor", "p-vasseur") != one.actor
    assert sealed(patient="").patient == 0


def test_an_hours_key_opens_for_the_privacy_office_alone() -> None:
    stranger = algorithms.KemPrivate(bytes(32))
    for number, office, opening in ((1, KEY.office, stranger.open), (2, KEY.office, OFFICE.open), (1, "privacy-office/2", OFFICE.open)):
        with pytest.raises(Corrupt):
            audit_keys.opened_data_key(TRUST, number, office, KEY.sealed, opening)
    with pytest.raises(Corrupt):
        opened_key().opened(replace(sealed(), at=NOW + timedelta(seconds=1)))  # an entry moved in time


def test_a_signed_object_stands_in_clear_by_its_hash_alone() -> None:
    hashed = bytes(range(32))
    one = sealed(action="trust-object", kind="grant", object=hashed.hex())
    assert (one.named, one.category) == (hashed, "trust")
    assert (sealed().named, sealed().category) == (b"", "record")
    assert sealed(action="sign-in", kind="session").category == "session"


@given(text, text, text)
def test_an_entry_comes_back_as_it_was_sealed(actor: str, session: str, action: str) -> None:
    one = entry(actor=actor, session=session, action=action)
    assert opened_entry(sealed_entry(one, "s", 1, KEY), opened_key()._open) == one


def test_the_same_moment_in_another_time_zone_is_the_same_entry() -> None:
    one = sealed()
    assert replace(one, at=NOW.astimezone(timezone(timedelta(hours=1)))).leaf() == one.leaf()


IMPOSSIBLE = [{"actor": "a\0b"}, {"reason": "x" * 2_001}, {"source": 5}, {"at": datetime(2026, 1, 1)}]


@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_an_entry_that_cannot_be_stored_is_an_error_with_a_name(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        replace(entry(), **change)


def test_rows_go_to_the_table_and_come_back() -> None:
    _, step = written(2)
    names = [name.strip() for name in store.COLUMNS.split(",")]
    columns = store.append_arguments(step)[: len(names)]
    records = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    assert [store.row_of(record) for record in records] == list(step.rows)
