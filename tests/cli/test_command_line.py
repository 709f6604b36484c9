"""The command line itself: version, sign-ins, made-up patients in a folder, errors in two lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from import_trust import ImportTrust

from cloister import __version__

Typed = Callable[..., Result]


def shell(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CLOISTER_STATE": str(state), "CLOISTER_RUNTIME": "/tmp/cloister-no-such"}
    return subprocess.run([sys.executable, "-m", "cloister.cli", *arguments], capture_output=True, text=True, env=environment, check=False)


def test_the_version_is_one(typed: Typed) -> None:
    assert typed("--version").stdout == f"cloister {__version__}\n"


def test_a_refusal_is_two_lines_and_an_exit_code(tmp_path: Path) -> None:
    done = shell("demo", "sign-ins", state=tmp_path / "nothing")
    assert done.returncode == 66
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")


def test_looking_without_a_running_trust_says_how_to_start_one(tmp_path: Path) -> None:
    for words in (("look", "ciphertext"), ("audit", "tail"), ("session", "list"), ("verify",)):
        done = shell(*words, state=tmp_path / "nothing")
        assert done.returncode == 69, words
        assert "cloister up" in done.stderr
        assert "Traceback" not in done.stderr


def test_sign_ins_are_printed_for_people_and_for_scripts(trust: ImportTrust, typed: Typed) -> None:
    body = json.loads(typed("demo", "sign-ins", "--json").stdout)
    assert set(body) >= {"base", "ca", "people", "programs"}
    assert body["programs"][0]["client_id"] == "lab-gateway"
    assert body["programs"][0]["client_secret"]
    assert "cerise-moulin" in typed("demo", "sign-ins").stdout


def test_made_up_patients_can_be_written_to_a_folder_and_imported_from_there(trust: ImportTrust, typed: Typed, tmp_path: Path) -> None:
    assert typed("demo", "--patients", 4, "--seed", 7, "--to", tmp_path / "made").exit_code == 0
    assert typed("import", tmp_path / "made" / "saint-roch").exit_code == 0
    assert any(name.startswith("Patient/") for name in trust.stored)


def test_made_up_patients_enter_the_running_trust_register_first(trust: ImportTrust, typed: Typed) -> None:
    result = typed("demo", "--patients", 6, "--seed", 7)
    assert result.exit_code == 0, result.output
    assert trust.seen_types[0] == "Organization"
    assert sum(1 for name in trust.stored if name.startswith("Patient/")) == 6
    again = typed("demo", "--patients", 6, "--seed", 7)
    assert again.exit_code == 0
    assert "0 resources stored" in again.stdout


def test_patients_made_again_on_another_day_are_the_same(trust: ImportTrust, typed: Typed) -> None:
    (trust.state / "demo" / "seed-9.day").write_text("2026-01-31\n")
    typed("demo", "--patients", 3, "--seed", 9)
    moments = [stored["date"] for name, stored in trust.stored.items() if name.startswith("DocumentReference/")]
    assert moments
    assert max(moments) < "2026-02-01"
