"""One log line an event: JSON on standard error, with a closed set of value types.

Never log a request body, a query, a name of a patient, a passphrase, a key or a ticket. Values are
clipped, so that a mistake cannot spill a document.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Final

from cloister.base.clock import iso, system_clock

VALUE_CHARACTERS_MAX: Final = 200

_part = "cloister"


def name_part(part: str) -> None:
    """Say once, at a process's start, which part of the whole this is."""
    global _part
    _part = part


def log(event: str, *, level: str = "info", **values: str | int | float | bool | None) -> None:
    line: dict[str, str | int | float | bool | None] = {"at": iso(system_clock()), "part": _part, "level": level, "event": event}
    for name, value in values.items():
        line[name] = value[:VALUE_CHARACTERS_MAX] if isinstance(value, str) else value
    with contextlib.suppress(OSError):  # a full disk stops no part: what a part does matters more than its log
        print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)
