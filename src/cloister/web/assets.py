"""The built scripts and style sheets: which file a name stands for, and the digest that the browser checks it against (W3C SRI)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.base.errors import Unavailable

STATIC_FOLDER: Final = Path(__file__).parent / "static" / "dist"
STATIC_PATH: Final = "/static/"


@dataclass(frozen=True, slots=True)
class Asset:
    """One built file. Its name changes whenever its content does."""

    path: str
    integrity: str


def read_assets(folder: Path = STATIC_FOLDER) -> Mapping[str, Asset]:
    """What the front-end build has made, by name; raises Unavailable when it was not run."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unavailable("The front end has not been built.", hint="Run: npm ci && node frontend/build.mjs") from None
    return {name: Asset(STATIC_PATH + entry["path"], entry["integrity"]) for name, entry in manifest.items()}


def static_names(folder: Path = STATIC_FOLDER) -> frozenset[str]:
    """The files whose names carry their hash: a browser may keep them for ever (RFC 8246)."""
    return frozenset(asset.path.removeprefix(STATIC_PATH) for asset in read_assets(folder).values())
