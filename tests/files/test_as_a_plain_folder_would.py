"""A mounted zone beside a plain folder: whatever people do in both has the same outcome in both."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from files_rig import begin, faults, needs_fuse, new_folder, zone_keys
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cloister.zones import files

pytestmark = needs_fuse
NAMES = st.sampled_from(["a", "b", "c.txt", "~$a.tmp", "d/x", "d/y", "e/x", "d", "e", "d/f", "d/f/z"])
SIZES = st.sampled_from([0, 1, 100, 4096, files.BLOCK_BYTES - 1, files.BLOCK_BYTES, files.BLOCK_BYTES + 1, 3 * files.BLOCK_BYTES + 7])
_number = itertools.count()


def outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except OSError as refused:
        # Two errors that hold at once may be told in either order.
        return {errno.EEXIST: errno.ENOTEMPTY}.get(refused.errno or 0, refused.errno)


class TwoFolders(RuleBasedStateMachine):
    """Each rule is carried out in both."""

    base: Path

    @initialize()
    def begin(self) -> None:
        self.here = self.base / str(next(_number))
        self.here.mkdir()
        self.plain = self.here / "plain"
        self.plain.mkdir()
        self.stored = new_folder(self.here)
        self.mount = begin(zone_keys(), self.stored, self.here / "sealed")

    def both(self, act: Callable[[Path], object]) -> None:
        assert outcome(lambda: act(self.mount.point)) == outcome(lambda: act(self.plain))

    @rule(name=NAMES, size=SIZES, byte=st.integers(0, 255))
    def write(self, name: str, size: int, byte: int) -> None:
        self.both(lambda root: (root / name).write_bytes(bytes([byte]) * size))

    @rule(name=NAMES, offset=SIZES, size=SIZES, byte=st.integers(0, 255))
    def write_within(self, name: str, offset: int, size: int, byte: int) -> None:
        def act(root: Path) -> None:
            with (root / name).open("r+b") as file:
                file.seek(offset)
                file.write(bytes([byte]) * size)

        self.both(act)

    @rule(name=NAMES, size=SIZES)
    def append(self, name: str, size: int) -> None:
        def act(root: Path) -> None:
            with (root / name).open("ab") as file:
                file.write(b"+" * size)

        self.both(act)

    @rule(name=NAMES, size=SIZES)
    def truncate(self, name: str, size: int) -> None:
        self.both(lambda root: os.truncate(root / name, size))

    @rule(name=NAMES, first=SIZES, second=SIZES)
    def truncate_while_open(self, name: str, first: int, second: int) -> None:
        def act(root: Path) -> bytes:
            with (root / name).open("r+b", buffering=0) as file:
                file.truncate(first)
                file.seek(0, os.SEEK_END)
                file.write(b"t" * second)
                file.seek(0)
                return file.read()

        self.both(act)

    @rule(name=NAMES)
    def make_folder(self, name: str) -> None:
        self.both(lambda root: (root / name).mkdir())

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.both(lambda root: (root / name).unlink())

    @rule(name=NAMES)
    def remove_folder(self, name: str) -> None:
        self.both(lambda root: (root / name).rmdir())

    @rule(name=NAMES, other=NAMES)
    def rename(self, name: str, other: str) -> None:
        self.both(lambda root: (root / name).rename(root / other) and None)

    @rule(name=NAMES, other=NAMES)
    def link(self, name: str, other: str) -> None:
        self.both(lambda root: os.symlink(other, root / name))

    @rule()
    def mount_again(self) -> None:
        assert "fault" not in self.mount.leave()
        self.mount = begin(zone_keys(), self.stored, self.here / "sealed")

    @invariant()
    def the_same_is_seen(self) -> None:
        if hasattr(self, "mount"):
            assert seen(self.mount.point) == seen(self.plain)

    def teardown(self) -> None:
        if hasattr(self, "mount"):
            log = self.mount.leave()
            assert "files.refused" not in log
            assert "files.fault" not in log
            assert faults(self.stored) == []
            shutil.rmtree(self.here)


def seen(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            short = os.path.relpath(path, root)
            if os.path.islink(path):
                found[short] = os.readlink(path)
            else:
                found[short] = Path(path).read_bytes() if os.path.isfile(path) else None
                assert os.path.isdir(path) or os.stat(path).st_size == len(Path(path).read_bytes())
    return found


@pytest.mark.timeout(400)
def test_a_mounted_zone_behaves_like_a_plain_folder(tmp_path: Path) -> None:
    machine = type("TwoFolders", (TwoFolders,), {"base": tmp_path})
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    examples = int(os.environ.get("CLOISTER_EXAMPLES", "6"))
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=health)
    )


@pytest.mark.parametrize("size", [0, 1, files.BLOCK_BYTES, 5 * files.BLOCK_BYTES + 3])
def test_sizes_are_told_without_opening(size: int) -> None:
    assert files.plain_size(files.sealed_size(size)) == size
