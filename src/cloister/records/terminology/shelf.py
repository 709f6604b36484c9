"""What this process has loaded: the definitions of R4, and what the trust put into its folder of packs.

The zygote fills the shelf before it forks and looks again before each fork, so a session has what was loaded when it was opened.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.records.definitions import FOLDER
from cloister.records.terminology.catalogue import Catalogue
from cloister.records.terminology.library import Library
from cloister.records.terminology.pack import Pack, open_pack
from cloister.records.terminology.valuesets import ValueSets

BASE: Final = FOLDER / "terminology.pack"
SUFFIX: Final = ".pack"
PACKS_MAX: Final = 500

Seen = tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class Shelf:
    """The value sets of the library of this process; made at first use. `changes` counts how often the folder's content did."""

    seen: Seen | None = None
    changes: int = 0
    packs: dict[tuple[str, int, int], Pack] = field(default_factory=dict)
    value_sets: ValueSets | None = None
    catalogue: Catalogue | None = None


_shelf: Final = Shelf()


def value_sets() -> ValueSets:
    """Raises Unavailable when `make` has not written the definitions."""
    if _shelf.value_sets is None:
        _shelf.value_sets = ValueSets(Library([open_pack(BASE)]))
    return _shelf.value_sets


def library() -> Library:
    return value_sets().library


def catalogue() -> Catalogue:
    """The definitions that may be read over FHIR."""
    if _shelf.catalogue is None:
        _shelf.catalogue = Catalogue(library().packs)
    return _shelf.catalogue


def changes() -> int:
    """For what was compiled from the library and must go when it changes."""
    return _shelf.changes


def refresh(folder: Path | None) -> bool:
    """Load what lies in the trust's folder, if it has changed; True if so. A pack that cannot be read is left out and logged."""
    found = _files(folder)
    if found == _shelf.seen and _shelf.value_sets is not None:
        return False
    packs = []
    for one in found:
        try:
            packs.append(_shelf.packs.get(one) or open_pack(Path(one[0])))
        except (CloisterError, OSError) as unreadable:
            log("terminology.unreadable", level="error", pack=Path(one[0]).name, why=type(unreadable).__name__)
            continue
        _shelf.packs[one] = packs[-1]
    base = value_sets().library.packs[-1]
    _shelf.value_sets = ValueSets(Library([*packs, base]))
    _shelf.value_sets.library.system_of("")  # built here, and not in every session
    _shelf.catalogue = Catalogue(_shelf.value_sets.library.packs)
    _shelf.seen = found
    _shelf.changes += 1
    return True


def _files(folder: Path | None) -> Seen:
    """Path, time and size of each pack, in order of name."""
    if folder is None or not folder.is_dir():
        return ()
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}"))[:PACKS_MAX]:
        with contextlib.suppress(FileNotFoundError):
            told = path.stat()
            found.append((str(path), told.st_mtime_ns, told.st_size))
    return tuple(found)
