"""Clients of the npm registry that must work as they come: fhir-kit-client and @medplum/core, each in node's own process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from journeys_cast import FHIR, end_program, word
from running_trust import RunningTrust

ROOT: Final = Path(__file__).parents[2]
NODE: Final = ROOT / ".venv" / "node" / "bin" / "node"
SCRIPTS: Final = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def token(trust: RunningTrust) -> Iterator[str]:
    client = trust.program(0, label="node-clients")
    yield client.headers["authorization"].removeprefix("Bearer ")
    end_program(client)


def run(trust: RunningTrust, package: str, script: str, *arguments: str) -> dict[str, Any]:
    if not NODE.exists():
        pytest.skip("There is no node in .venv/node: run `make setup`.")
    if not (ROOT / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is not in node_modules: run `npm ci`.")
    environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(trust.ca)}
    done = subprocess.run([NODE, SCRIPTS / script, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_fhir_kit_client_reads_pages_updates_and_is_told_of_a_conflict(trust: RunningTrust, token: str) -> None:
    found = run(trust, "fhir-kit-client", "kit.mjs", f"{trust.base}{FHIR}", token, word())
    assert (found["seen"], found["pages"]) == (5, 3)
    assert (found["conflict"], found["issue"]) == (412, "OperationOutcome")
    assert found["everything"] == 6
    assert "tokenUrl" in found["smart"]


def test_medplum_core_reads_pages_updates_and_is_told_of_a_conflict(trust: RunningTrust, token: str) -> None:
    found = run(trust, "@medplum/core", "medplum.mjs", f"{trust.base}/", token, word())
    assert (found["seen"], found["pages"]) == (5, 3)
    assert found["conflict"] in ("conflict", "processing", "precondition-failed")
    assert found["everything"] == 6
    assert found["found"]
