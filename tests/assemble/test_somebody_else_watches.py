"""Another hospital watches the audit log with a program of its own, over HTTP, and the trust shows when it is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from running_trust import RunningTrust, begin, folders, founded_once, free_port

from cloister.assemble.witnesses import places
from cloister.base.errors import Invalid
from cloister.base.settings import read_settings

NAME = "chu-lyon.example/witness"


def standing(trust: RunningTrust) -> dict[str, Any]:
    found = json.loads((trust.state / "audit-status" / "witnesses.json").read_text())
    return {
        **next((one for one in found["witnesses"] if one["name"] == NAME), {"size": -1, "lost": "", "refused": ""}),
        "log": found["size"],
    }


def until(trust: RunningTrust, what: Any) -> None:
    deadline = time.monotonic() + 30
    while not what(found := standing(trust)):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_a_witness_of_another_hospital_signs_and_is_missed_when_it_stops(tmp_path: Path) -> None:
    with folders() as (state, runtime):
        founded_once(state)
        trust: RunningTrust | None = None
        witness: subprocess.Popen[bytes] | None = None
        try:
            public = json.loads((state / "public" / "trust.json").read_text())
            program = [sys.executable, "-m", "cloister.cli", "witness"]
            environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}
            own = ["--state", str(tmp_path / "w"), "--name", NAME]
            key = subprocess.run([*program, "key", *own], env=environment, capture_output=True, text=True, check=True).stdout.strip()
            port = free_port()
            run = [*program, "run", *own, "--log", f"{public['trust']}:{public['audit']}", "--listen", f"127.0.0.1:{port}"]
            witness = subprocess.Popen(run, env=environment, stdout=subprocess.DEVNULL)
            trust = begin(state, runtime, CLOISTER_WITNESSES=f"{key}@http://127.0.0.1:{port}")
            trust.wait_for("ready: ")
            until(trust, lambda one: one["size"] == one["log"] > 0 and not one["refused"])
            seen = json.loads((tmp_path / "w" / "witness.json").read_text())["note"]
            assert seen.startswith(f"cloister.audit/{public['trust']}\n")
            witness.terminate()
            witness.wait(10)
            trust.sign_in(trust.person(role="nurse"))
            until(trust, lambda one: bool(one["lost"]))
        finally:
            if trust is not None:
                trust.stop()
            if witness is not None:
                witness.kill()
                witness.wait(10)


def test_a_setting_that_names_no_witness_is_said_at_once(tmp_path: Path) -> None:
    for text in ("nobody", "a+b+c@http://x", "chu.example/w+00000000+BGU4r4lIzcOTpXvfMN4IMxxVTEnQ6Xuz92UUNOAM2qqB@http://x"):
        (tmp_path / "secrets").mkdir(exist_ok=True)
        with pytest.raises(Invalid, match="CLOISTER_WITNESSES"):
            places(read_settings({"CLOISTER_STATE": str(tmp_path), "CLOISTER_RUNTIME": "/tmp/c-w", "CLOISTER_WITNESSES": text}))
