"""The browser's half of unlocking, run by Node as it is shipped; its peer is Python's own cryptography."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_what_the_browser_derives_and_seals_is_what_a_session_opens() -> None:
    node = shutil.which("node", path=f"{ROOT / '.venv/node/bin'}:{os.environ['PATH']}")
    if node is None or not (ROOT / "node_modules").is_dir():
        pytest.skip("Node or its packages are not on this machine.")
    environment = {**os.environ, "CLOISTER_PYTHON": sys.executable}
    files = [f"frontend/test/{name}.test.mjs" for name in ("keys", "card", "pkcs")]
    done = subprocess.run([node, "--test", *files], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
