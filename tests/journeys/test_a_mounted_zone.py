"""`cloister zone` beside a running trust: who holds a zone works in its encrypted folder, whoever does not gets no key."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from running_trust import RunningTrust

SECONDS_MAX = 90


def can_mount() -> bool:
    return os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)


pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting needs root and /dev/fuse")


class Desk:
    """A workstation with the command line, and people's passphrases in files."""

    def __init__(self, trust: RunningTrust, place: Path) -> None:
        self.trust = trust
        self.place = place
        self.folder, self.point = place / "ward", place / "point"
        self.point.mkdir()

    def begin(self, person: dict[str, Any], *words: str) -> subprocess.Popen[bytes]:
        passphrase = self.place / person["sign_in"]
        passphrase.write_text(person["passphrase"])
        environment = {**self.trust.environment, "XDG_STATE_HOME": str(self.place), "CLOISTER_SIGN_IN": person["sign_in"]}
        options = ["--passphrase-file", str(passphrase)]
        command = [sys.executable, "-m", "cloister.cli", "zone", words[0], *options, *words[1:]]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, person: dict[str, Any], *words: str) -> tuple[int, str]:
        process = self.begin(person, *words)
        out, error = process.communicate(timeout=SECONDS_MAX)
        return process.returncode, (out + error).decode()


@pytest.fixture
def desk(trust: RunningTrust, tmp_path: Path) -> Desk:
    return Desk(trust, tmp_path)


def test_a_ward_works_in_its_encrypted_folder_and_others_get_no_key(desk: Desk) -> None:
    claire = desk.trust.person(role="doctor")
    zone = claire["zones"][0] if claire.get("zones") else claire["wards"][0]
    folder, point = str(desk.folder), str(desk.point)
    desk.folder.mkdir()
    (desk.folder / "letter to Mrs Lopez.txt").write_text("Dear Mrs Lopez")
    status, said = desk.run(claire, "encrypt", folder, "--zone", zone)
    assert status == 0, said
    assert "Lopez" not in "".join(os.listdir(folder))

    status, said = desk.run(claire, "mount", folder, point, "--", "cat", "letter to Mrs Lopez.txt")
    assert (status, "Dear Mrs Lopez" in said) == (0, True), said
    status, said = desk.run(claire, "mount", folder, point, "--", "sh", "-c", "echo second > 'letter to Mrs Lopez.txt'")
    assert status == 0, said
    status, said = desk.run(claire, "versions", folder, "letter to Mrs Lopez.txt")
    assert status == 0, said
    assert len(said.strip().splitlines()) == 2
    status, said = desk.run(claire, "verify", folder)
    assert (status, "everything is whole" in said) == (0, True), said

    operator = desk.trust.person(role="it-operator")
    status, said = desk.run(operator, "mount", folder, point, "--", "cat", "letter to Mrs Lopez.txt")
    assert status == 77, said
    assert "Lopez" not in said
    stranger = next(
        one for one in desk.trust.sign_ins["people"] if one["role"] == "doctor" and not set(one["wards"]) & set(claire["wards"])
    )
    status, said = desk.run(stranger, "mount", folder, point, "--", "cat", "letter to Mrs Lopez.txt")
    assert status != 0, said
    assert "second" not in said


def test_when_the_session_ends_the_mount_ends_within_five_seconds(desk: Desk) -> None:
    claire = desk.trust.person(role="doctor")
    zone = claire["zones"][0] if claire.get("zones") else claire["wards"][0]
    desk.folder.mkdir()
    assert desk.run(claire, "encrypt", str(desk.folder), "--zone", zone)[0] == 0
    mount = desk.begin(claire, "mount", str(desk.folder), str(desk.point), "--", "sh", "-c", "echo here; sleep 1000")
    assert mount.stdout is not None
    assert mount.stdout.readline() == b"here\n"
    desk.trust.sign_in(claire).client.post("/session/end")
    began = time.monotonic()
    mount.wait(SECONDS_MAX)
    assert time.monotonic() - began < 5
