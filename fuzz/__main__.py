"""`python -m fuzz [TARGET] [--seconds N] [--list] [INPUT…]`: one target, or all one after the other, each in its own process."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cloister"]):
    from fuzz import targets

FOUND = Path(__file__).parent / "found"
INPUT_BYTES_MAX = 8_192


def fuzzed(name: str, seconds: int, kept: Path) -> None:
    """Runs libFuzzer in this process; it ends the process itself. What breaks the target is written to `kept`."""
    target = targets.TARGETS[name]
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        before = [file.read_bytes() for file in kept.iterdir()]
        for seed in [*target.seeds(), *before]:
            (Path(corpus) / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-artifact_prefix={kept}/", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, "-verbosity=0", corpus], target.run, enable_python_coverage=True)
        atheris.Fuzz()


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m fuzz")
    asked.add_argument("target", nargs="?")
    asked.add_argument("inputs", nargs="*", type=Path)
    asked.add_argument("--seconds", type=int, default=30)
    asked.add_argument("--kept", type=Path, help="where inputs are written that break the target")
    asked.add_argument("--list", action="store_true")
    wanted = asked.parse_args()
    if wanted.list:
        print("\n".join(sorted(targets.TARGETS)))
        return 0
    if wanted.target is not None and wanted.target not in targets.TARGETS:
        print(f"error: there is no target {wanted.target}\nhint: python -m fuzz --list", file=sys.stderr)
        return 2
    if wanted.target is None:
        command = [sys.executable, "-m", "fuzz", f"--seconds={wanted.seconds}"]
        failed = [name for name in targets.ORDER if subprocess.run([*command, name]).returncode]
        print(f"broken: {', '.join(failed)}" if failed else f"{len(targets.ORDER)} targets, nothing broken")
        return 1 if failed else 0
    if wanted.inputs:
        for file in wanted.inputs:
            targets.TARGETS[wanted.target].run(file.read_bytes())
        return 0
    fuzzed(wanted.target, wanted.seconds, wanted.kept or FOUND / wanted.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
