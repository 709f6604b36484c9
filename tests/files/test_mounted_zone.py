"""What people see in a mounted zone: the same files for each other, nothing for anybody else, and their editors' habits."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from files_rig import OTHER_ZONE, faults, mounted, needs_fuse, stored_documents, zone_keys

from cloister.base.errors import Conflict
from cloister.files import verifying, versions
from cloister.zones import Forged

pytestmark = needs_fuse
LETTER = "Dear colleague, Mrs Lopez was discharged on Tuesday."


def test_what_claire_saves_a_colleague_on_another_mount_reads(stored: Path, point: Path, tmp_path: Path) -> None:
    (point / "letters").mkdir()
    (point / "letters" / "Lopez.txt").write_text(LETTER)
    with mounted(zone_keys(), stored, tmp_path / "paul") as paul:
        assert (paul.point / "letters" / "Lopez.txt").read_text() == LETTER
        (paul.point / "letters" / "Lopez.txt").write_text("Signed. " + LETTER)
        (paul.point / "letters" / "Garcia.txt").write_text("new")
        assert (point / "letters" / "Lopez.txt").read_text() == "Signed. " + LETTER
        assert sorted(os.listdir(point / "letters")) == ["Garcia.txt", "Lopez.txt"]
        (point / "letters" / "Garcia.txt").unlink()
        (point / "letters" / "Lopez.txt").rename(point / "Lopez.txt")
        assert os.listdir(paul.point / "letters") == []
        assert (paul.point / "Lopez.txt").read_text() == "Signed. " + LETTER


def test_whoever_holds_another_zone_opens_nothing(stored: Path, point: Path) -> None:
    (point / "Lopez.txt").write_text(LETTER)
    with pytest.raises(Conflict):
        list(verifying.verify(zone_keys(zone=OTHER_ZONE), stored, verifying.Verified(), seen={}, rewrap=False))
    mark = stored / "cloister-zone.json"
    mark.write_text(mark.read_text().replace("000000000001", "000000000002"))  # even where the storage says that it is theirs
    with pytest.raises(Forged):
        list(verifying.verify(zone_keys(zone=OTHER_ZONE), stored, verifying.Verified(), seen={}, rewrap=False))


def test_the_storage_administrator_sees_no_name_and_no_word(stored: Path, point: Path) -> None:
    (point / "Lopez discharge").mkdir()
    (point / "Lopez discharge" / "letter to Dr Martin.txt").write_text(LETTER)
    os.symlink("letter to Dr Martin.txt", point / "Lopez discharge" / "newest")
    seen = b""
    for folder, folders, names in os.walk(os.fsencode(stored)):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            seen += name + (os.fsencode(os.readlink(path)) if os.path.islink(path) else b"")
            if os.path.isfile(path) and not os.path.islink(path):
                seen += Path(os.fsdecode(path)).read_bytes()
    for word in (b"Lopez", b"Martin", b"discharge", b"colleague", b"letter", b"newest"):
        assert word not in seen


def test_a_reader_reads_and_writes_nothing(stored: Path, point: Path, tmp_path: Path) -> None:
    (point / "Lopez.txt").write_text(LETTER)
    with mounted(zone_keys(writes=False), stored, tmp_path / "reader") as reader:
        assert (reader.point / "Lopez.txt").read_text() == LETTER
        for refused in (lambda: (reader.point / "Lopez.txt").write_text("x"), lambda: (reader.point / "new").mkdir()):
            with pytest.raises(OSError) as wrong:
                refused()
            assert wrong.value.errno == errno.EROFS


def _truncates_and_writes(path: Path, text: str) -> None:
    path.write_text(text)


def _renames_over(path: Path, text: str) -> None:
    new = path.with_name(".goutputstream-XYZ")
    new.write_text(text)
    os.replace(new, path)


def _moves_away_first(path: Path, text: str) -> None:
    """As a word processor does it: the old one gets a temporary name, the new one the document's, the old one goes."""
    new, old = path.with_name("~WRD0001.tmp"), path.with_name("~WRL0002.tmp")
    with new.open("w") as file:
        file.write(text)
        os.fsync(file.fileno())
    path.rename(old)
    new.rename(path)
    old.unlink()


def _backs_up_first(path: Path, text: str) -> None:
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    with path.open("x") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    backup.unlink()


@pytest.mark.parametrize("save", [_truncates_and_writes, _renames_over, _moves_away_first, _backs_up_first])
def test_each_editors_way_of_saving_leaves_the_version_before(stored: Path, point: Path, save: object) -> None:
    path = point / "report.txt"
    path.write_text("first")
    save(path, "second, and longer")  # type: ignore[operator]
    assert path.read_text() == "second, and longer"
    assert os.listdir(point) == ["report.txt"]
    kept = versions.of(zone_keys(), stored, "report.txt")
    assert [one.current for one in kept] == [False, True]
    read = bytearray()
    versions.read(zone_keys(), stored, "report.txt", kept[0].tag[:8], read.extend)
    assert read == b"first"
    assert versions.prune(zone_keys(), stored, before=datetime.now(UTC)) == 1
    assert len(versions.of(zone_keys(), stored, "report.txt")) == 1
    assert faults(stored) == []


def test_one_writing_with_many_saves_keeps_one_older_version(stored: Path, point: Path) -> None:
    (point / "log.txt").write_text("before")
    with (point / "log.txt").open("a") as file:
        for number in range(5):
            file.write(f" {number}")
            file.flush()
            os.fsync(file.fileno())
    assert (point / "log.txt").read_text() == "before 0 1 2 3 4"
    assert len(versions.of(zone_keys(), stored, "log.txt")) == 2


def test_a_lock_file_is_seen_at_once_and_only_one_of_two_makes_it(point: Path, stored: Path, tmp_path: Path) -> None:
    with mounted(zone_keys(), stored, tmp_path / "paul") as paul:
        lock = ".~lock.report.odt#"
        descriptor = os.open(point / lock, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        os.write(descriptor, b"Claire Vasseur")
        assert (paul.point / lock).read_bytes() == b"Claire Vasseur"  # while it is still open
        with pytest.raises(FileExistsError):
            os.open(paul.point / lock, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        os.close(descriptor)
        (point / lock).unlink()
        assert not (paul.point / lock).exists()


@pytest.mark.parametrize("way", [fcntl.flock, fcntl.lockf])
def test_a_lock_holds_between_two_mounts(point: Path, stored: Path, tmp_path: Path, way: object) -> None:
    (point / "table.ods").write_text("1;2")
    with mounted(zone_keys(), stored, tmp_path / "paul") as paul:
        with (point / "table.ods").open("r+") as mine, (paul.point / "table.ods").open("r+") as his:
            way(mine, fcntl.LOCK_EX)  # type: ignore[operator]
            with pytest.raises(OSError) as taken:
                way(his, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[operator]
            assert taken.value.errno == errno.EAGAIN
            way(mine, fcntl.LOCK_UN)  # type: ignore[operator]
            way(his, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[operator]


def test_whoever_waits_for_a_lock_gets_it_when_it_is_free(point: Path) -> None:
    (point / "table.ods").write_text("1;2")
    wait = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_EX); print('mine',flush=True)"
    with (point / "table.ods").open("r+") as mine:
        fcntl.lockf(mine, fcntl.LOCK_EX)
        other = subprocess.Popen([sys.executable, "-c", wait, str(point / "table.ods")], stdout=subprocess.PIPE)
        time.sleep(0.3)
        assert other.poll() is None
        assert (point / "table.ods").read_text() == "1;2"  # and nobody else waits with it
        fcntl.lockf(mine, fcntl.LOCK_UN)
    assert other.communicate(timeout=10)[0] == b"mine\n"


def test_what_is_not_offered_is_refused_politely(point: Path) -> None:
    (point / "a").write_text("a")
    for refused, number in (
        (lambda: os.link(point / "a", point / "b"), errno.EPERM),
        (lambda: os.mkfifo(point / "pipe"), errno.EPERM),
        (lambda: os.setxattr(point / "a", "user.x", b"1"), errno.EOPNOTSUPP),
    ):
        with pytest.raises(OSError) as wrong:
            refused()
        assert wrong.value.errno == number
    assert os.listdir(point) == ["a"]


def test_long_names_links_modes_and_times_are_kept(point: Path, stored: Path) -> None:
    long = "é" * 120 + ".txt"
    (point / long).write_text("long")
    (point / long).rename(point / ("z" + long))
    os.symlink("../elsewhere/" + "x" * 500, point / "link")
    (point / "script").write_text("#!/bin/sh\n")
    (point / "script").chmod(0o750)
    os.utime(point / "script", ns=(10**18 + 1, 10**18 + 2))
    assert sorted(os.listdir(point)) == ["link", "script", "z" + long]
    assert os.readlink(point / "link") == "../elsewhere/" + "x" * 500
    assert os.lstat(point / "link").st_size == len("../elsewhere/") + 500
    found = (point / "script").stat()
    assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o750, 10**18 + 2)
    assert faults(stored) == []


def test_a_removed_file_is_read_to_its_end_by_who_has_it_open(point: Path) -> None:
    (point / "x").write_text("still here")
    with (point / "x").open() as file, (point / "new").open("w") as new:
        (point / "x").unlink()
        new.write("never seen")
        (point / "new").unlink()
        assert os.listdir(point) == []
        assert file.read() == "still here"


def test_after_a_new_epoch_old_files_open_and_new_ones_are_under_it(stored: Path, point: Path, tmp_path: Path) -> None:
    (point / "old").write_text("old")
    with mounted(zone_keys(1, 2), stored, tmp_path / "later") as later:
        assert (later.point / "old").read_text() == "old"
        (later.point / "new").write_text("new")
    done = verifying.Verified()
    assert list(verifying.verify(zone_keys(1, 2), stored, done, seen={}, rewrap=True)) == []
    assert done.rewrapped == 1
    assert all(one.read_bytes()[4:8] == b"\0\0\0\2" for one in stored_documents(stored))
    assert (stored / ".journal").read_bytes()[4:8] == b"\0\0\0\2"


def _colleague(point: Path, number: int, rounds: int, answers: multiprocessing.Queue[int]) -> None:
    chance, wrong = random.Random(number), 0
    for turn in range(rounds):
        if chance.random() < 0.3:
            (point / f"own-{number}").write_bytes(bytes([turn]) * 3000)
            wrong += (point / f"own-{number}").read_bytes() != bytes([turn]) * 3000
        else:
            read = (point / f"shared-{chance.randrange(8)}").read_bytes()
            wrong += len(read) != 20_000 or len(set(read)) != 1  # one writing or another, never two mixed
            (point / f"shared-{chance.randrange(8)}.new-{number}").write_bytes(bytes([turn]) * 20_000)
            os.replace(point / f"shared-{0}.new-{number}", point / "shared-0") if (point / f"shared-0.new-{number}").exists() else None
    answers.put(wrong)


def test_120_processes_work_in_one_zone(point: Path, stored: Path) -> None:
    for number in range(8):
        (point / f"shared-{number}").write_bytes(b"\0" * 20_000)
    answers: multiprocessing.Queue[int] = multiprocessing.Queue()
    people = [multiprocessing.Process(target=_colleague, args=(point, number, 6, answers)) for number in range(120)]
    for one in people:
        one.start()
    assert sum(answers.get(timeout=100) for _ in people) == 0
    for one in people:
        one.join()
    assert faults(stored) == []
