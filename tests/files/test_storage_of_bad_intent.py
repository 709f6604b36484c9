"""Whoever owns the storage changes what lies there: each change is refused by name, on the mount and by `cloister zone verify`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from files_rig import begin, faults, mounted, needs_fuse, stored_documents, zone_keys

from cloister.files import verifying
from cloister.zones import files

pytestmark = needs_fuse
BIG = b"B" * 200_000
SMALL = b"S" * 5_000


@pytest.fixture
def written(stored: Path, tmp_path: Path) -> Path:
    """A folder with a big and a small document, and a version of the small one from before; not mounted."""
    with mounted(zone_keys(), stored, tmp_path / "claire") as mount:
        (mount.point / "big").write_bytes(BIG)
        (mount.point / "small").write_bytes(b"older")
        shutil.copytree(stored, tmp_path / "yesterday", symlinks=True)
        (mount.point / "small").write_bytes(SMALL)
        (mount.point / "ward").mkdir()
        (mount.point / "ward" / "note").write_bytes(b"n")
    return stored


def _big(folder: Path) -> Path:
    return stored_documents(folder)[0]


def _small(folder: Path) -> Path:
    return stored_documents(folder)[1]


def swap_two_blocks(folder: Path, before: Path) -> None:
    raw = bytearray(_big(folder).read_bytes())
    one, two = files.HEADER_BYTES, files.HEADER_BYTES + files.SEALED_BLOCK_BYTES
    size = files.SEALED_BLOCK_BYTES
    raw[one : one + size], raw[two : two + size] = raw[two : two + size], raw[one : one + size]
    _big(folder).write_bytes(raw)


def flip_a_bit(folder: Path, before: Path) -> None:
    raw = bytearray(_big(folder).read_bytes())
    raw[-1] ^= 1
    _big(folder).write_bytes(raw)


def cut_a_block(folder: Path, before: Path) -> None:
    os.truncate(_big(folder), files.HEADER_BYTES + 2 * files.SEALED_BLOCK_BYTES)


def cut_everything(folder: Path, before: Path) -> None:
    os.truncate(_big(folder), 0)


def lengthen(folder: Path, before: Path) -> None:
    with _big(folder).open("ab") as file:
        file.write(bytes(100))


def put_the_older_one_back(folder: Path, before: Path) -> None:
    shutil.copy(before / _small(folder).name, _small(folder))


def put_another_ones_place(folder: Path, before: Path) -> None:
    shutil.copy(_big(folder), folder / _small(folder).name)


def exchange_names(folder: Path, before: Path) -> None:
    big, small = _big(folder), _small(folder)
    big.rename(folder / "x")
    small.rename(big)
    (folder / "x").rename(small)


def rename_ciphertext(folder: Path, before: Path) -> None:
    _big(folder).rename(folder / ("=" + "A" * 30))


def remove(folder: Path, before: Path) -> None:
    _big(folder).unlink()


def add_a_copy(folder: Path, before: Path) -> None:
    keys = files.FileKeys.folder(zone_keys(), (folder / ".journal").read_bytes())
    shutil.copy(_big(folder), folder / files.stored_name(keys.seal_name(b"copy")))  # not even a holder of the keys, beside the journal


def remove_a_folder(folder: Path, before: Path) -> None:
    shutil.rmtree(next(one for one in folder.iterdir() if one.is_dir() and one.name[0] == "="))


def forge_a_journal_line(folder: Path, before: Path) -> None:
    raw = bytearray((folder / ".journal").read_bytes())
    raw[-30] ^= 1
    (folder / ".journal").write_bytes(raw)


def drop_a_journal_line(folder: Path, before: Path) -> None:
    raw = (folder / ".journal").read_bytes()
    at = files.JOURNAL_HEADER_BYTES + files.RECORD_BYTES
    (folder / ".journal").write_bytes(raw[:at] + raw[at + files.RECORD_BYTES :])


REFUSED = [
    (swap_two_blocks, "tag", "big"),
    (flip_a_bit, "tag", "big"),
    (cut_a_block, "tag", "big"),
    (cut_everything, "tag", "big"),
    (lengthen, "tag", "big"),
    (put_the_older_one_back, "rolled-back", "small"),
    (put_another_ones_place, "swapped", "small"),
    (exchange_names, "swapped", "small"),
    (rename_ciphertext, "missing-row", "big"),
    (remove, "missing-row", "big"),
    (add_a_copy, "extra-row", ""),
    (remove_a_folder, "missing-row", "ward"),
]


@pytest.mark.parametrize(("act", "reason", "name"), REFUSED, ids=lambda value: getattr(value, "__name__", value))
def test_what_the_storage_changed_is_refused_by_name(
    written: Path, tmp_path: Path, act: Callable[[Path, Path], None], reason: str, name: str
) -> None:
    act(written, tmp_path / "yesterday")
    assert reason in [one for _, one in faults(written)]
    mount = begin(zone_keys(), written, tmp_path / "again")
    if name:
        path = mount.point / name
        with pytest.raises(OSError) as wrong:
            list(path.iterdir()) if name == "ward" else path.read_bytes()
        assert wrong.value.errno == errno.EIO
    else:
        assert "copy" not in os.listdir(mount.point)
    assert f'"reason": "{reason}"' in mount.leave()


@pytest.mark.parametrize("act", [forge_a_journal_line, drop_a_journal_line])
def test_a_journal_that_was_changed_opens_nothing(written: Path, tmp_path: Path, act: Callable[[Path, Path], None]) -> None:
    act(written, tmp_path)
    with pytest.raises(files.Forged) as forged:
        faults(written)
    assert forged.value.refusal == "chain-broken"


def test_a_document_exchanged_while_it_is_mounted_is_refused_live(written: Path, tmp_path: Path) -> None:
    mount = begin(zone_keys(), written, tmp_path / "again")
    assert (mount.point / "small").read_bytes() == SMALL
    put_the_older_one_back(written, tmp_path / "yesterday")
    with pytest.raises(OSError) as wrong:
        (mount.point / "small").read_bytes()
    assert wrong.value.errno == errno.EIO
    assert '"reason": "rolled-back"' in mount.leave()


def test_a_whole_folder_put_back_is_noticed_by_who_has_seen_it_later(written: Path, tmp_path: Path) -> None:
    done = verifying.Verified()
    assert list(verifying.verify(zone_keys(), written, done, seen={}, rewrap=False)) == []
    shutil.rmtree(written)
    shutil.copytree(tmp_path / "yesterday", written, symlinks=True)
    assert faults(written) == []  # consistent in itself: nobody who sees it first could tell
    seen = done.heads or {}
    found = list(verifying.verify(zone_keys(), written, verifying.Verified(), seen=seen, rewrap=False))
    assert [str(fault.reason) for fault in found] == ["rolled-back"]


def test_a_power_failure_between_journal_and_document_can_be_taken_over(written: Path, tmp_path: Path) -> None:
    raw = (written / ".journal").read_bytes()
    (written / ".journal").write_bytes(raw[: -2 * files.RECORD_BYTES])  # its last lines never reached the disk
    assert faults(written) != []
    assert verifying.accept(zone_keys(), written, "") == verifying.Accepted([], ["ward"], 0)
    assert faults(written) == []


def test_what_is_let_stand_after_a_power_failure_is_told_by_name(written: Path, tmp_path: Path) -> None:
    put_the_older_one_back(written, tmp_path / "yesterday")
    remove(written, tmp_path)
    assert verifying.accept(zone_keys(), written, "") == verifying.Accepted(["small"], [], 1)
    assert faults(written) == []
