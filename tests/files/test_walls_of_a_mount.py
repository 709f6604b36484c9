"""A mount lives in namespaces of its own: its command sees the files, everybody else an empty folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from files_rig import HERE, faults, needs_fuse

pytestmark = needs_fuse
SECONDS_MAX = 30


def inside(stored: Path, point: Path, *command: str) -> subprocess.Popen[bytes]:
    point.mkdir(exist_ok=True)
    words = [sys.executable, str(HERE / "inside.py"), str(stored), str(point), *command]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def shell(stored: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell in the mount that has written a letter and waits."""
    shell = inside(stored, tmp_path / "point", "/bin/sh", "-c", "echo secret > letter && echo $$ && read line; sleep 1000")
    assert shell.stdout is not None
    assert shell.stdout.readline()
    yield shell
    with contextlib.suppress(ProcessLookupError):
        shell.terminate()
    shell.wait(SECONDS_MAX)


def first_process(shell: subprocess.Popen[bytes]) -> int:
    """The one that serves the mount: the first of its process namespace, two below."""
    pid = shell.pid
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return pid


def test_the_command_sees_the_files_and_its_status_comes_back(stored: Path, tmp_path: Path) -> None:
    shell = inside(stored, tmp_path / "point", "/bin/sh", "-c", "echo secret > letter; cat letter; pwd; exit 3")
    out, _ = shell.communicate(timeout=SECONDS_MAX)
    assert out.decode().split("\n")[:2] == ["secret", str(tmp_path / "point")]
    assert shell.returncode == 3
    assert os.listdir(tmp_path / "point") == []
    assert faults(stored) == []


def test_root_outside_the_namespace_sees_an_empty_folder(shell: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert os.listdir(tmp_path / "point") == []
    assert str(tmp_path / "point") not in Path("/proc/self/mounts").read_text()


def test_root_in_the_mount_namespace_alone_is_refused(shell: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Entering the process namespace as well is what SECURITY.md says that root can do."""
    enter = ["nsenter", f"--mount=/proc/{first_process(shell)}/ns/mnt"]
    tried = subprocess.run([*enter, "cat", str(tmp_path / "point" / "letter")], capture_output=True, timeout=SECONDS_MAX)
    assert tried.returncode != 0
    assert b"secret" not in tried.stdout
    assert b"Permission denied" in tried.stderr


def test_another_account_in_the_namespaces_is_refused(shell: subprocess.Popen[bytes], tmp_path: Path) -> None:
    enter = ["nsenter", f"--target={first_process(shell)}", "--mount", "--pid", "--setuid=65534", "--setgid=65534"]
    tried = subprocess.run([*enter, "cat", str(tmp_path / "point" / "letter")], capture_output=True, timeout=SECONDS_MAX)
    assert tried.returncode != 0
    assert b"secret" not in tried.stdout


def test_when_it_is_ended_every_process_in_it_ends_and_what_was_written_is_saved(shell: subprocess.Popen[bytes], stored: Path) -> None:
    served = first_process(shell)
    began = time.monotonic()
    shell.send_signal(signal.SIGTERM)
    shell.wait(SECONDS_MAX)
    assert time.monotonic() - began < 5
    assert not Path(f"/proc/{served}").exists()
    assert faults(stored) == []


def test_when_the_serving_process_is_killed_its_shell_ends_with_it(shell: subprocess.Popen[bytes], stored: Path) -> None:
    os.kill(first_process(shell), signal.SIGKILL)
    shell.wait(SECONDS_MAX)
    assert faults(stored) == []
