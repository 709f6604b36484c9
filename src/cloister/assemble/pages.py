"""What the door serves that other rooms make: the sign-in page, static files, the capability statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cloister
from cloister.base.settings import Settings
from cloister.gateway import StaticFile, read_files, static_file


def static_files() -> dict[str, StaticFile]:
    folder = Path(cloister.__file__).parent / "web" / "static" / "dist"
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except OSError:
        manifest = {}
    return read_files(folder, immutable={entry["path"] for entry in manifest.values()})


def login_page(name: str, **context: Any) -> str:
    return f"<!doctype html><title>{name}</title>"


def capability_file(settings: Settings) -> StaticFile:
    return static_file("metadata.json", b"{}")
