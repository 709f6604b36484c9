"""The house's own rules, as tests: doors, sizes, no hidden modules, claims tied to tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import grimp
import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "src" / "cloister"
FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
DOOR_NAMES_MAX: Final = 16
CRYPTOGRAPHY: Final = {"machines/web_keys.py", "zones/algorithms.py", "zones/certificates.py", "machines/certificates.py"}
# A door within a room, for a process that must not load the rest of it.
INNER_DOORS: Final = {"cloister.farm.upkeep", "cloister.records.gate", "cloister.gateway.outbound"}
# The roof sees everything, the floor is imported by module.
OPEN: Final = {"base"}


@cache
def files() -> tuple[Path, ...]:
    return tuple(sorted(SOURCE.rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, also those hidden in functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, node.module or ""


def test_every_folder_with_code_is_a_package_and_every_file_is_seen() -> None:
    seen = {module for module in grimp.build_graph("cloister").modules if module.startswith("cloister")}
    assert {name_of(path) for path in files()} == seen


def test_rooms_are_entered_by_their_door() -> None:
    wrong = []
    for path in files():
        here = name_of(path)
        for line, module in imports(path):
            if not module.startswith("cloister.") or room_of(module) == room_of(here) or room_of(module) in OPEN:
                continue
            if module.count(".") > 1 and module not in INNER_DOORS:
                wrong.append(f"{here}:{line} imports {module}, not the door of {room_of(module)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "door", sorted(path for path in SOURCE.glob("*/__init__.py") if path.parent.name not in OPEN), ids=lambda p: p.parent.name
)
def test_a_door_is_narrow(door: Path) -> None:
    names = next(
        (
            ast.literal_eval(node.value)
            for node in tree(door).body
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        ),
        [],
    )
    # A module handed out whole is entered by its own name again, so it counts for nothing here.
    modules = {path.stem for path in door.parent.glob("*.py")} | {path.parent.name for path in door.parent.glob("*/__init__.py")}
    assert len(set(names) - modules) <= DOOR_NAMES_MAX, f"{len(names)} names"


def test_files_and_functions_are_short_enough_to_read() -> None:
    wrong = []
    for path in files():
        lines = path.read_text().count("\n")
        if lines > FILE_LINES_MAX:
            wrong.append(f"{name_of(path)} has {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    wrong.append(f"{name_of(path)}.{node.name} has {size} lines")
    assert not wrong, "\n".join(wrong)


def test_every_file_opens_with_what_it_is() -> None:
    assert [name_of(path) for path in files() if not ast.get_docstring(tree(path))] == []


def test_only_four_files_touch_the_primitives() -> None:
    users = {
        path.relative_to(SOURCE).as_posix() for path in files() for _, module in imports(path) if module.split(".")[0] == "cryptography"
    }
    assert users <= CRYPTOGRAPHY


def test_nothing_is_imported_by_name_at_run_time() -> None:
    banned = re.compile(r"import_module|__import__\(|\bexec\(|\beval\(")
    assert [name_of(path) for path in files() if banned.search(path.read_text())] == []


def test_only_the_edge_of_a_process_catches_everything() -> None:
    """A broad `except` must say on its line that it stands at a process's edge."""
    wrong = []
    for path in files():
        text = path.read_text().splitlines()
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"BaseException"}
            if names & {"Exception", "BaseException"} and "edge" not in text[node.lineno - 1]:
                wrong.append(f"{name_of(path)}:{node.lineno}")
    assert not wrong, wrong


def test_no_setting_turns_off_encryption_or_audit() -> None:
    text = (SOURCE / "base" / "settings.py").read_text()
    names = set(re.findall(r'"(CLOISTER_[A-Z_]+)"', text))
    assert not {name for name in names if re.search(r"CRYPT|SEAL|AUDIT|PLAIN|INSECURE|DISABLE", name)}
    read_elsewhere = [
        name_of(path)
        for path in files()
        if path.name != "settings.py" and re.search(r"environ(\.get)?[\[(]\s*[\"']CLOISTER_(?!TEST)", path.read_text())
    ]
    assert not read_elsewhere


def test_every_claim_has_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "claims.md").read_text()
    rows = re.findall(r"^\| (.+?) \| `(tests/[^`]+?)::([^`]+)` \|$", text, re.M)
    assert len(rows) >= 10
    for claim, file, test in rows:
        path = ROOT / file
        assert path.exists(), f"{claim}: {file} does not exist"
        assert re.search(rf"def {re.escape(test)}\b", path.read_text()), f"{claim}: {file} has no {test}"
    table = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| claim", "| ---"))]
    assert len(table) == len(rows), "a claim without a test"


def test_the_foundation_can_be_read_in_a_week() -> None:
    foundation = [path for path in files() if room_of(name_of(path)) in {"base", "audit", "zones", "identity", "access"}]
    written = sum(1 for path in foundation for line in path.read_text().splitlines() if line.strip())  # blank lines read themselves
    assert written <= 7600


def test_architecture_is_a_map_not_a_book() -> None:
    assert (ROOT / "ARCHITECTURE.md").read_text().count("\n") <= 250


def test_locks_name_no_registry() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "package-lock.json"):
        text = (ROOT / lock).read_text()
        assert "index-url" not in text
        assert '"resolved"' not in text
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert not re.match(r"^\S+==", line) or line.rstrip().endswith("\\"), f"no hash: {line}"


def test_each_migration_of_a_room_has_a_number_of_its_own() -> None:
    """Two that were written side by side would stop every trust at its start."""
    for folder in SOURCE.glob("*/migrations"):
        numbers = [path.name.partition("_")[0] for path in folder.glob("*.sql")]
        assert len(numbers) == len(set(numbers)), f"{folder.parent.name}: {sorted(numbers)}"
