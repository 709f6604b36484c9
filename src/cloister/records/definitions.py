"""The tables of FHIR R4 that this room works from, loaded once a process (the zygote loads them before it forks).

`make` writes them from the official definitions with scripts/build_definitions.py.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from cloister.base.errors import Unavailable

FOLDER: Final = Path(__file__).parent / "definitions"
FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Definitions:
    """`types` is in alphabetical order; a type's place in it is its number in rows and never changes within R4."""

    types: tuple[str, ...]
    schema: dict[str, Any]  # JSON schema definitions by name
    elements: dict[str, Any]  # shape -> fields, required, choices, required_choices
    search: dict[str, list[Any]]  # type -> [code, kind, targets, branches]
    compartment: dict[str, list[str]]  # type -> parameters that tie it to a patient


@functools.cache
def load() -> Definitions:
    """The definitions; raises Unavailable when `make` has not written them yet."""
    search = _table("search")
    return Definitions(
        types=tuple(sorted(search)),
        schema=_table("schema"),
        elements=_table("elements"),
        search=search,
        compartment=_table("compartment"),
    )


def search_parameters() -> dict[str, dict[str, str]]:
    """By type and code, the id of the SearchParameter that defines it; read anew, because few ask."""
    found: dict[str, dict[str, str]] = _table("defined")
    return found


@functools.cache
def type_numbers() -> dict[str, int]:
    return {name: number for number, name in enumerate(load().types)}


def is_type(name: str) -> bool:
    return name in type_numbers()


def _table(name: str) -> Any:
    body = orjson.loads(_read(name))
    if body.get("format") != FORMAT:
        raise Unavailable(f"The FHIR table '{name}' is of another version than this program.", hint="Run 'make' again.")
    return body[name]


def _read(name: str) -> bytes:
    try:
        return (FOLDER / f"{name}.json").read_bytes()
    except FileNotFoundError:
        raise Unavailable("The FHIR definitions are not built.", hint="Run 'make' (or scripts/build_definitions.py).") from None
