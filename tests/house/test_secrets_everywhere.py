"""Whatever holds a key, anywhere in the house, neither prints it nor lets it be pickled. The holders are found, not listed.

A holder is a class with a field of type `Secret` or of a private key's class, or one that keeps what `reveal()` gave. Dataclasses
are made with marked secrets and printed; for other classes the source is read.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import inspect
import logging
import pickle
import pkgutil
import re
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

import cloister
from cloister.base.secret import Secret

MARK: Final = b"do-not-print-me-do-not-print-me!"
PRIVATE: Final = re.compile(r"\b(Secret|KemPrivate|SignPrivate|MlDsaPrivate|Bundle|EpochKeys|DossierKey|FileKeys|FolderKeys|Escrow)\b")
# Bytes that are a key by their name. Public keys, sealed keys and tokens of the index are told to everybody.
RAW: Final = re.compile(r"(^|_)(seed|seeds|secret|kek|prf|unlock_key|zone_key|dossier_key|index_key|private|scalar|passphrase|pin)$")


@cache
def modules() -> tuple[Any, ...]:
    names = [one.name for one in pkgutil.walk_packages(cloister.__path__, "cloister.") if not one.name.endswith("__main__")]
    return tuple(importlib.import_module(name) for name in names)


@cache
def classes() -> tuple[type, ...]:
    found = {
        one for module in modules() for one in vars(module).values() if inspect.isclass(one) and one.__module__.startswith("cloister.")
    }
    return tuple(sorted(found, key=lambda one: (one.__module__, one.__qualname__)))


def secret_fields(kind: type) -> dict[str, Any]:
    """Field -> a marked value of its type."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        text = str(field.type)
        if PRIVATE.search(text) and not text.startswith(("type[", "Callable")):
            found[field.name] = Secret(MARK)
        elif RAW.search(field.name) and not field.name.startswith("sealed") and text in ("bytes", "str", "bytes | None", "str | None"):
            found[field.name] = MARK if "bytes" in text else MARK.decode()
    return found


def holders() -> Iterator[type]:
    return (one for one in classes() if dataclasses.is_dataclass(one) and secret_fields(one))


def marked(kind: type) -> Any:
    """An instance whose secrets are marked, without running its own checks."""
    made = object.__new__(kind)
    values = secret_fields(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        object.__setattr__(made, field.name, values.get(field.name))
    return made


def told(value: Any) -> str:
    """All the ways in which something gets into a log: printed, formatted, in a container, in a log record, in a traceback."""
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (value, value), None)
    try:
        raise ValueError(value)
    except ValueError as fault:
        trace = "".join(traceback.format_exception(fault))
    return "".join((repr(value), str(value), f"{value}", repr([value]), repr({"a": value}), record.getMessage(), trace))


def test_there_are_holders_and_they_are_found() -> None:
    names = {one.__name__ for one in holders()}
    assert {"Way", "Half", "Enrolment"} <= names, names


@pytest.mark.parametrize("kind", tuple(holders()), ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_a_dataclass_that_holds_a_key_tells_nobody(kind: type) -> None:
    holder = marked(kind)
    text = told(holder)
    assert "do-not-print" not in text
    assert MARK.hex() not in text
    if any(isinstance(value, Secret) for value in secret_fields(kind).values()):
        for take in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                take(holder)


def keeps_revealed(tree: ast.ClassDef) -> bool:
    """Whether an attribute is set to what `reveal()` gave."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            kept = any(isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "self" for one in targets)
            if kept and node.value is not None and ".reveal()" in ast.unparse(node.value):
                value = node.value
                # `X(key.reveal())` keeps an object of a library or of ours; the bytes alone are what must not be kept.
                if not (
                    isinstance(value, ast.Call) and ast.unparse(value.func) != "bytes" and not ast.unparse(value).endswith(".reveal()")
                ):
                    return True
    return False


def test_who_keeps_revealed_bytes_refuses_to_be_pickled() -> None:
    wrong = []
    for module in modules():
        tree = ast.parse(Path(inspect.getfile(module)).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and keeps_revealed(node):
                methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                if "__reduce__" not in methods:
                    wrong.append(f"{module.__name__}.{node.name}")
    assert not wrong, wrong


def test_no_log_line_or_error_names_a_secret() -> None:
    """`log(…)` and errors are given ids, kinds and counts: never what `reveal()` gave, a passphrase or a PIN."""
    wrong = []
    for module in modules():
        for node in ast.walk(ast.parse(Path(inspect.getfile(module)).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and (node.func.id == "log" or node.func.id in ERRORS):
                text = ast.unparse(node)
                if re.search(r"\.reveal\(\)|\bpassphrase=|\bpin=|\bkek\b|\{passphrase|\{pin", text):
                    wrong.append(f"{module.__name__}:{node.lineno} {text[:100]}")
    assert not wrong, wrong


ERRORS: Final = {"Invalid", "Denied", "NotFound", "Conflict", "Busy", "Unavailable", "Unsupported", "Corrupt", "Forged", "Refused"}
