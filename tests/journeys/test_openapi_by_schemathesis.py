"""The endpoint against its own OpenAPI document: thousands of requests that nobody thought of, by schemathesis."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from journeys_cast import FHIR, end_program
from running_trust import RunningTrust

SECONDS: Final = 12
CONFIGURATION: Final = Path(__file__).parent / "schemathesis.toml"
# Not left to chance: these end what others are about to use, or load for minutes.
SPARED: Final = ("^/\\$import",)


def test_no_request_that_the_document_allows_or_forbids_breaks_the_server(trust: RunningTrust, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("schemathesis is not installed: run `make setup` with the test packages.")
    client = trust.program(1, label="schemathesis")
    try:
        document = tmp_path / "openapi.json"
        document.write_text(client.get("openapi.json").text)
        assert json.loads(document.read_text())["openapi"] == "3.1.0"
        command = [
            str(program), "--config-file", str(CONFIGURATION), "run", str(document), "--url", f"{trust.base}{FHIR}",
            "--header", f"Authorization: {client.headers['authorization']}", "--tls-verify", str(trust.ca), "--seed", "7",
            "--max-time", str(SECONDS), "--phases", "coverage,fuzzing", "--max-examples", "10", "--continue-on-failure", "--no-color",
        ]  # fmt: skip
        for path in SPARED:
            command += ["--exclude-path-regex", path]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    finally:
        end_program(client)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tried = re.search(r"(\d+) generated", done.stdout)
    assert tried is not None, done.stdout[-3000:]
    assert int(tried[1]) > 30, done.stdout[-2000:]
