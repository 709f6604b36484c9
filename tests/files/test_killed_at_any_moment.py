"""kill -9 at random moments: each document is its old or its new version, and the folder verifies."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from files_rig import begin, faults, mounted, needs_fuse, zone_keys

from cloister.files import converting, place

pytestmark = needs_fuse
NAMES = [f"doc-{number}" for number in range(6)]
ROUNDS = 6


def _work(point: Path, seed: int, stop: threading.Event, saved: dict[str, int]) -> None:
    """Saves ever higher numbers; `saved` is what close(2) has promised."""
    chance, number = random.Random(seed), max(saved.values(), default=0)
    while not stop.is_set():
        name, number = chance.choice(NAMES), number + 1
        size = chance.choice((10, 5_000, 70_000, 300_000))
        try:
            if chance.random() < 0.5:
                (point / name).write_bytes(number.to_bytes(4, "big") * size)
            else:
                (point / "saving").write_bytes(number.to_bytes(4, "big") * size)
                (point / "saving").rename(point / name)
        except OSError:
            return
        saved[name] = number


def test_a_kill_leaves_each_document_old_or_new(stored: Path, tmp_path: Path) -> None:
    saved: dict[str, int] = {}
    chance = random.Random(7)
    for turn in range(ROUNDS):
        mount = begin(zone_keys(), stored, tmp_path / "claire")
        before, stop = dict(saved), threading.Event()
        worker = threading.Thread(target=_work, args=(mount.point, turn, stop, saved))
        worker.start()
        time.sleep(0.05 + chance.random() * 0.25)
        mount.kill()
        stop.set()
        worker.join(20)
        with mounted(zone_keys(), stored, tmp_path / "after") as after:
            for name, number in saved.items():
                raw = (after.point / name).read_bytes()
                one = raw[:4]
                assert raw == one * (len(raw) // 4), "two versions were mixed"
                assert int.from_bytes(one, "big") >= max(number, before.get(name, 0))
                saved[name] = int.from_bytes(one, "big")
        assert faults(stored) == []


def test_sealing_a_folder_can_be_interrupted_anywhere(tmp_path: Path) -> None:
    chance = random.Random(3)
    plain = {f"{'ab'[n % 2]}/{n}.txt": chance.randbytes(chance.randrange(0, 150_000)) for n in range(30)} | {"=odd": b"1", "~$x.doc": b"2"}
    folder = tmp_path / "ward"
    for name, raw in plain.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    (folder / "b" / "link").symlink_to("1.txt")

    class Interrupted(Exception):
        pass

    def stop(documents: int, size: int) -> None:
        if documents == 3:
            raise Interrupted

    for _ in range(40):
        try:
            converting.encrypt(zone_keys(), folder, stop)
        except Interrupted:
            continue
        break
    assert place.read_mark(folder).zone == zone_keys().zone
    assert not (folder / converting.PLAIN).exists()
    assert faults(folder) == []
    assert list(converting.decrypt(zone_keys(), folder, tmp_path / "out", lambda documents, size: None)) == []
    assert {name: (tmp_path / "out" / name).read_bytes() for name in plain} == plain
    assert (tmp_path / "out" / "b" / "link").readlink() == Path("1.txt")
