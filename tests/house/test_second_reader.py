"""The second reader of the formats knows the written format alone, and ends every vector as it says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READER = ROOT / "spec" / "reader"
ALLOWED = {"cryptography", "zstandard", "spec"}

# As `python -m spec.reader`, in a process in which importing cloister fails.
RUN = """
import runpy, sys
sys.modules["cloister"] = None
sys.path[:] = [place for place in sys.path if not place.rstrip("/").endswith("/src")]
runpy.run_module("spec.reader", run_name="__main__")
"""


def test_the_reader_imports_nothing_of_cloister() -> None:
    for file in READER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names}:
                assert top in ALLOWED or top in sys.stdlib_module_names, f"{file.name} imports {top}"
    assert not re.search(r"import_module|__import__", "".join(file.read_text() for file in READER.glob("*.py")))


def test_the_reader_ends_every_vector_as_it_says() -> None:
    ended = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    cases = re.search(r"^(\d+) cases, 0 ended otherwise$", ended.stdout, re.M)
    assert cases, ended.stdout[-2000:]
    assert int(cases[1]) >= 500


def test_a_vector_that_ends_otherwise_fails_the_reader(tmp_path: Path) -> None:
    """The check above must be able to fail: one answer and one refusal are exchanged in a copy."""
    script = f"""
import json, pathlib, runpy, shutil, sys
from spec.reader import __main__ as reader
folder = pathlib.Path({str(tmp_path)!r})
for name, change in (("bundle", lambda one: one.update(expect="tag")), ("encoding", lambda one: one.update(gives={{"value": 1}}))):
    body = json.loads((reader.VECTORS / (name + ".json")).read_text())
    change(next(one for one in body["cases"] if (one["expect"] == "success") == (name == "encoding")))
    (folder / (name + ".json")).write_text(json.dumps(body))
reader.VECTORS = folder
sys.exit(reader.main([]))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "2 ended otherwise" in ended.stdout
