"""A machine whose umask is 077, as hardened ones have: the database's account can still run what was installed for its owner alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cloister.assemble import postgres


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has accounts of its own for the parts")
def test_everybody_may_run_postgres_though_it_was_installed_under_a_narrow_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    for above in tmp_path.parents[:-1]:
        above.chmod(above.stat().st_mode | 0o011)
    packages = tmp_path / "site-packages"
    programs = packages / postgres.WHEEL / "pginstall18" / "bin"
    libraries = packages / f"{postgres.WHEEL}.libs"
    for folder in (programs, libraries):
        folder.mkdir(parents=True)
    (programs / "postgres").write_text(f"#!/bin/sh\ncat {libraries}/said\n")
    (programs / "postgres").chmod(0o700)
    (programs / "gone").symlink_to("nowhere")
    (libraries / "said").write_text("18.4")
    (libraries / "said").chmod(0o600)
    for folder in (packages, *[one for one in packages.rglob("*") if one.is_dir()]):
        folder.chmod(0o700)
    private = packages / "another"
    private.mkdir(mode=0o700)
    postgres._open_up(packages)
    run = subprocess.run([programs / "postgres"], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("18.4", 0)
    assert (libraries / "said").stat().st_mode & 0o777 == 0o644
    assert private.stat().st_mode & 0o777 == 0o700
