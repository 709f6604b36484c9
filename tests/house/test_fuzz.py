"""Every parser of what others wrote, against made-up bytes for a moment; `make fuzz` takes longer. See fuzz/README.md."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 4
pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="libFuzzer's wheel is for Linux on x86-64"
)


@pytest.fixture(autouse=True)
def beside_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fuzz", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_made_up_bytes_end_in_named_refusals_only(tmp_path: Path) -> None:
    ended = fuzz("all", f"--seconds={SECONDS}", f"--kept={tmp_path}")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-6000:]
    units = re.search(r"number_of_executed_units:\s+(\d+)", ended.stderr)
    assert units
    assert int(units[1]) > 100


def test_what_once_broke_a_parser_breaks_it_no_more() -> None:
    from fuzz import targets

    for folder in sorted((ROOT / "fuzz" / "found").glob("*")):
        for file in folder.iterdir():
            targets.TARGETS[folder.name].run(file.read_bytes())


def test_every_signed_object_of_the_vectors_has_a_target() -> None:
    from fuzz import seeds, signed

    labels = {label for label in seeds.objects() if not label.startswith(("cloister/example/", "cloister/other/"))}
    assert labels <= {label for label, _, _ in signed.OBJECTS.values()}
