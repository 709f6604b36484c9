"""Encrypted folders beside gocryptfs (Debian) on the same disk, in turns: `python -m benchmarks.file_zones`.

Both get the same calls through the kernel. Files are dropped from the page cache of the mounted side before they are read, not from
the storage's, so that what is compared is the way through the file system, not the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.measure import Result, missing, ratio_at_least, save, show, told
from cloister.base.secret import Secret
from cloister.files import Options, place, run_inside
from cloister.zones import algorithms, files

ROUNDS: Final = 7
MIB: Final = 1 << 20
STREAM_MIB: Final = 256
SMALL_FILES: Final = 800
SMALL_BYTES: Final = 4096
PROCESSES: Final = 120
SHARED_FILES: Final = 240
SHARED_BYTES: Final = 16_384
MANY_SECONDS: Final = 4.0
READS: Final = 0.9
WHY_NOT: Final = "apt-get install gocryptfs"

Figures = dict[str, float]


def forget_pages(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def stream(folder: Path) -> Figures:
    """One big file, 1 MiB at a time."""
    data, path, buffer = os.urandom(MIB), folder / "stream", bytearray(MIB)
    began = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    for _ in range(STREAM_MIB):
        os.write(descriptor, data)
    os.close(descriptor)
    written = time.perf_counter() - began
    forget_pages(path)
    began = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    while os.readv(descriptor, [buffer]):
        pass
    os.close(descriptor)
    read = time.perf_counter() - began
    path.unlink()
    return {"sequential write": STREAM_MIB / written, "sequential read": STREAM_MIB / read}


def small(folder: Path) -> Figures:
    """Many files of 4 KiB: made, read, looked at, removed."""
    data, inside = os.urandom(SMALL_BYTES), folder / "small"
    inside.mkdir()
    paths = [inside / f"letter {number}.txt" for number in range(SMALL_FILES)]

    def made(path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, data)
        os.close(descriptor)

    def opened(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        os.read(descriptor, SMALL_BYTES)
        os.close(descriptor)

    def each(act: Callable[[Path], object]) -> float:
        began = time.perf_counter()
        for path in paths:
            act(path)
        return len(paths) / (time.perf_counter() - began)

    create = each(made)
    for path in paths:
        forget_pages(path)
    figures = {"small files made": create, "small files read": each(opened), "small files removed": each(os.unlink)}
    inside.rmdir()
    return figures


def _person(folder: Path, number: int, start: object, done: object) -> None:
    chance, data, count = random.Random(number), os.urandom(SHARED_BYTES), 0
    start.wait()  # type: ignore[attr-defined]
    end = time.perf_counter() + MANY_SECONDS
    while time.perf_counter() < end:
        if chance.random() < READS:
            descriptor = os.open(folder / f"shared {chance.randrange(SHARED_FILES)}", os.O_RDONLY)
            if len(os.read(descriptor, SHARED_BYTES)) != SHARED_BYTES:
                raise AssertionError("A file was shorter than it was written.")
        else:
            descriptor = os.open(folder / f"own {number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(descriptor, data)
        os.close(descriptor)
        count += 1
    done.put(count)  # type: ignore[attr-defined]


def many(folder: Path) -> Figures:
    """120 processes in one folder without pause: nine readings to one writing of 16 KiB."""
    inside, data = folder / "many", os.urandom(SHARED_BYTES)
    inside.mkdir()
    for number in range(SHARED_FILES):
        (inside / f"shared {number}").write_bytes(data)
    fork = multiprocessing.get_context("fork")
    start, done = fork.Event(), fork.Queue()
    people = [fork.Process(target=_person, args=(inside, number, start, done)) for number in range(PROCESSES)]
    for one in people:
        one.start()
    time.sleep(0.5)
    start.set()
    total = sum(done.get() for _ in people)
    for one in people:
        one.join()
    shutil.rmtree(inside)
    return {"120 processes": total / MANY_SECONDS}


WORK: Final[dict[str, Callable[[Path], Figures]]] = {"stream": stream, "small": small, "many": many}
GOALS: Final = {"sequential write": 1.5, "sequential read": 1.5, "small files made": 1.0, "120 processes": 1.0}
UNITS: Final = {"sequential write": "MiB/s", "sequential read": "MiB/s"}


def work(sealed: Path, other: Path, steps: list[str], answer: Path) -> None:
    """Inside the mount's namespace: both folders in turns, each first as often as the other."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for turn in range(ROUNDS):
        for step in steps or WORK:
            order = [sealed, other] if turn % 2 else [other, sealed]
            found = {folder: WORK[step](folder) for folder in order}
            for name, value in found[sealed].items():
                figures.setdefault(name, []).append((value, found[other][name]))
    answer.write_text(json.dumps(figures))


def measured(steps: list[str]) -> list[Result]:
    """Founds both folders on the disk of the temporary folder, and removes them afterwards."""
    if shutil.which("gocryptfs") is None:
        return [missing(name, UNITS.get(name, "/s"), WHY_NOT) for name in GOALS]
    base = Path(tempfile.mkdtemp(prefix="cloister-bench-files-", dir=os.environ.get("CLOISTER_BENCH_DISK")))
    folders = {name: base / name for name in ("sealed", "point", "peer", "peer-point")}
    for folder in folders.values():
        folder.mkdir()
    keys = files.FileKeys("bench", "zone", {1: Secret(algorithms.random(32))}, writes=True)
    place.make(folders["sealed"], keys)
    ask = ["-q", "-extpass", "echo bench"]
    subprocess.run(["gocryptfs", "-init", "-scryptn", "10", *ask, folders["peer"]], check=True, capture_output=True)
    subprocess.run(["gocryptfs", *ask, folders["peer"], folders["peer-point"]], check=True, capture_output=True)
    answer = base / "figures.json"
    try:
        command = [sys.executable, "-m", "benchmarks.file_zones", "work", folders["point"], folders["peer-point"], answer, ",".join(steps)]
        here = os.getcwd()
        words = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', here, *map(str, command)]
        status = run_inside(keys, folders["sealed"], folders["point"], words, Options())
        if status:
            raise RuntimeError(f"the work inside the mount ended with {status}")
        figures = json.loads(answer.read_text())
    finally:
        with contextlib.suppress(subprocess.CalledProcessError, FileNotFoundError):
            subprocess.run(["fusermount", "-u", folders["peer-point"]], check=True, capture_output=True)
        shutil.rmtree(base, ignore_errors=True)
    return [_result(name, pairs) for name, pairs in figures.items()]


def _result(name: str, pairs: list[list[float]]) -> Result:
    """Medians of the rounds."""
    mine, peer = (statistics.median(one[side] for one in pairs) for side in (0, 1))
    unit = UNITS.get(name, "/s")
    if name in GOALS:
        return ratio_at_least(f"encrypted folder: {name}", mine, peer, unit, GOALS[name])
    return told(f"encrypted folder: {name} (gocryptfs {peer:,.0f})", mine, unit)


async def run(steps: list[str]) -> list[Result]:
    """In a process of its own: mounting needs one without threads."""
    fork = multiprocessing.get_context("spawn")
    with fork.Pool(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(None, pool.apply, measured, (steps,))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(Path(sys.argv[2]), Path(sys.argv[3]), [one for one in sys.argv[5].split(",") if one], Path(sys.argv[4]))
    else:
        results = measured(sys.argv[1:])
        show("file zones", results)
        print(f"written to {save('file-zones', results)}")
