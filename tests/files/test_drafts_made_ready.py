"""Drafts made ready: a folder that is being filled gets them, and nothing of them stays."""

from __future__ import annotations

import contextlib
import os
import stat
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


def nameless() -> int:
    """Open files of this process that have no name."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            status = os.stat(f"/proc/self/fd/{fd}")
            found += stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_size == 0
    return found


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def filled(made: ahead.Ahead, folder: Folder, stored: Path) -> int:
    """How many nameless files there were before."""
    try:
        os.close(os.open(stored, ahead.NAMELESS_FLAGS, 0o600))
    except OSError as cannot:
        pytest.skip(f"this storage makes no nameless files: {cannot.strerror}")
    before = nameless()
    for _ in range(ahead.QUICK_DRAFTS):
        assert made.take(folder, 0o640) is None
    until(lambda: nameless() == before + ahead.READY)
    return before


def test_a_folder_that_is_being_filled_gets_empty_files_with_the_mode_asked_for(folder: Folder, stored: Path) -> None:
    made = ahead.Ahead()
    before = filled(made, folder, stored)
    assert drafts(stored) == []  # whoever is killed now leaves nothing
    one = made.take(folder, 0o640)
    assert one is not None
    found = os.fstat(one.fd)
    assert (found.st_size, one.mode, found.st_ino) == (0, 0o640, (stored / one.stored).stat().st_ino)
    os.close(one.fd)
    made.drop_all()
    assert nameless() == before
    assert drafts(stored) == [one.stored]


def test_a_single_saving_gets_none(folder: Folder, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "QUICK_SECONDS", 0.0)
    made, before = ahead.Ahead(), nameless()
    for _ in range(5):
        assert made.take(folder, 0o600) is None
        time.sleep(0.02)
    assert nameless() == before


def test_what_nobody_wants_goes_by_itself(folder: Folder, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "IDLE_SECONDS", 0.5)
    made = ahead.Ahead()
    before = filled(made, folder, stored)
    until(lambda: nameless() == before)


def test_a_folder_that_is_dropped_is_left_alone(folder: Folder, stored: Path) -> None:
    made = ahead.Ahead()
    before = filled(made, folder, stored)
    made.drop(folder)
    assert nameless() == before
    assert made.take(folder, 0o600) is None  # begins anew


def test_a_storage_that_cannot_is_not_asked_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "NAMELESS_FLAGS", os.O_RDWR | os.O_DIRECTORY)  # what a kernel says that does not know the flag: EISDIR
    made, before = ahead.Ahead(), nameless()
    for _ in range(20):
        assert made.take(folder, 0o600) is None
        time.sleep(0.01)
    assert nameless() == before


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
