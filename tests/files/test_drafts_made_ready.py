"""Drafts made ready: a folder that is being filled gets them, and nothing of them stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from files_rig import faults, mounted, needs_fuse, zone_keys

from cloister.files import ahead
from cloister.files.folder import DRAFT, FOLDER_FLAGS, Folder

SECONDS_MAX = 20.0


@pytest.fixture
def folder(stored: Path) -> Iterator[Folder]:
    folder = Folder(zone_keys(), os.open(stored, FOLDER_FLAGS))
    yield folder
    folder.close()


def drafts(stored: Path) -> list[str]:
    return [name for name in os.listdir(stored) if name.startswith(DRAFT)]


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def filled(made: ahead.Ahead, folder: Folder, stored: Path) -> None:
    for _ in range(ahead.QUICK_DRAFTS):
        assert made.take(folder, 0o640) is None
    until(lambda: len(drafts(stored)) == ahead.READY)


def test_a_folder_that_is_being_filled_gets_empty_files_with_the_mode_asked_for(folder: Folder, stored: Path) -> None:
    made = ahead.Ahead()
    filled(made, folder, stored)
    one = made.take(folder, 0o640)
    assert one is not None
    found = os.fstat(one.fd)
    assert (found.st_size, one.mode, found.st_ino) == (0, 0o640, (stored / one.stored).stat().st_ino)
    os.close(one.fd)
    (stored / one.stored).unlink()
    made.drop_all()
    assert drafts(stored) == []


def test_a_single_saving_gets_none(folder: Folder, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "QUICK_SECONDS", 0.0)
    made = ahead.Ahead()
    for _ in range(5):
        assert made.take(folder, 0o600) is None
        time.sleep(0.02)
    assert drafts(stored) == []


def test_what_nobody_wants_goes_by_itself(folder: Folder, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "IDLE_SECONDS", 0.5)
    made = ahead.Ahead()
    filled(made, folder, stored)
    until(lambda: drafts(stored) == [])


def test_a_folder_that_is_dropped_is_left_alone(folder: Folder, stored: Path) -> None:
    made = ahead.Ahead()
    filled(made, folder, stored)
    made.drop(folder)
    assert drafts(stored) == []
    assert made.take(folder, 0o600) is None  # begins anew


@needs_fuse
def test_a_folder_filled_emptied_and_removed_leaves_nothing(stored: Path, point: Path, tmp_path: Path) -> None:
    (point / "ward").mkdir()
    for number in range(60):
        (point / "ward" / f"letter {number}").write_text(f"letter {number}")
        (point / "ward" / f"letter {number}").chmod(0o640 if number % 2 else 0o444)
    with mounted(zone_keys(), stored, tmp_path / "paul") as paul:
        read = {one.name: (one.read_text(), one.stat().st_mode & 0o777) for one in (paul.point / "ward").iterdir()}
    assert read == {f"letter {number}": (f"letter {number}", 0o640 if number % 2 else 0o444) for number in range(60)}
    for one in (point / "ward").iterdir():
        one.unlink()
    (point / "ward").rmdir()
    assert faults(stored) == []
    assert [name for name in os.listdir(stored) if name[0] in "=~" or name.startswith(DRAFT)] == []


@needs_fuse
def test_a_folder_that_hands_down_its_group_gives_documents_their_own(stored: Path, point: Path) -> None:
    os.chown(stored, 0, 1234)
    stored.chmod(0o2755)
    for number in range(10):
        (point / f"letter {number}").write_text("x")
    assert {(one.stat().st_gid, one.stat().st_mode & 0o7777) for one in point.iterdir()} == {(0, 0o644)}
