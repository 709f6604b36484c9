"""The card agent as a workstation gets it: one file that any Debian's Python runs, in a package that dpkg unpacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from card_rig import SOFTHSM, CardDrawer

from cloister.workstation import VERSION, lattice

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("No dpkg-deb on this machine.")
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run([str(ROOT / "scripts" / "build-card-deb"), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_the_package_unpacks_and_its_one_file_runs(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path)], check=True)
    agent = tmp_path / "usr" / "bin" / "cloister-card"
    done = subprocess.run(["/usr/bin/python3", "-I", str(agent), "--version"], capture_output=True, text=True)
    assert done.stdout == f"cloister-card {VERSION}\n", done.stderr
    names = set(zipfile.ZipFile(agent).namelist())
    assert "cloister/workstation/pkcs11.py" in names
    assert all(name in ("__main__.py", "cloister/__init__.py") or name.startswith("cloister/workstation/") for name in names)
    unit = (tmp_path / "usr/lib/systemd/user/cloister-card.service").read_text()
    assert "ExecStart=/usr/bin/cloister-card run" in unit


def test_the_one_file_sees_a_card_with_nothing_but_debians_python(package: Path, drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    subprocess.run(["dpkg-deb", "-x", str(package), str(drawer.folder / "x")], check=True)
    command = ["/usr/bin/python3", "-I", str(drawer.folder / "x/usr/bin/cloister-card"), "list", "--module", SOFTHSM]
    done = subprocess.run(command, env=drawer.environment, capture_output=True, text=True)
    assert "Claire Vasseur" in done.stdout, done.stderr


def test_the_package_says_what_it_is(package: Path) -> None:
    fields = subprocess.run(["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=True).stdout
    for line in ("Package: cloister-card", f"Version: {VERSION}", "Architecture: all", "Depends: python3 (>= 3.11)"):
        assert line in fields


def test_the_same_sources_give_the_same_package(package: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1763800000"}
    made = []
    for name in ("one", "two"):
        done = subprocess.run(
            [str(ROOT / "scripts" / "build-card-deb"), str(tmp_path / name)], env=environment, capture_output=True, text=True
        )
        made.append(Path(done.stdout.strip()).read_bytes())
    assert made[0] == made[1]


@pytest.mark.skipif(shutil.which("lintian") is None, reason="No lintian on this machine.")
def test_debians_own_checker_finds_no_error(package: Path) -> None:
    done = subprocess.run(["lintian", "--fail-on", "error", str(package)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_agents_ml_kem_is_that_of_openssl() -> None:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

    for number in range(8):
        seed = os.urandom(64)
        key = MLKEM768PrivateKey.from_seed_bytes(seed)
        public = lattice.public_of(seed)
        assert public == key.public_key().public_bytes_raw()
        shared, sealed = key.public_key().encapsulate()
        assert lattice.decapsulate(seed, sealed) == shared
        shared, sealed = lattice.encapsulate(public, os.urandom(32))
        assert key.decapsulate(sealed) == shared
        place = number * 137
        other = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert lattice.decapsulate(seed, other) == key.decapsulate(other) != shared  # implicit rejection
