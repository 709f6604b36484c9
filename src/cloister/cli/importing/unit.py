"""What is sent at once: one bundle, and where its entries stood in the source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

# Whatever others refer to goes first: stage 0, then patients, then everything else. Transaction bundles stand for
# themselves and go last, too.
STAGE: Final = {"Organization": 0, "Location": 0, "Practitioner": 0, "PractitionerRole": 0, "HealthcareService": 0, "Patient": 1}
STAGE_LAST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A bundle as it will be posted. `numbers` are the entries' places in the source, from 1 (lines for NDJSON)."""

    source: str
    body: bytes
    numbers: tuple[int, ...]
    stage: int = STAGE_LAST
    alone: bool = False  # a transaction: needs nothing that stands elsewhere in the input
    position: int = 0  # bytes of the whole input that are read once this unit is read
    loose: bool = False  # a batch: its entries stand and fall on their own
    digest: bytes = field(default=b"")

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", hashlib.sha256(self.body).digest())

    @property
    def size(self) -> int:
        return len(self.numbers)

    def bundle(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One thing that did not go in: where it stood, what is wrong, what to do."""

    file: str
    entry: int | None
    resource: str
    element: str
    rule: str
    text: str
    hint: str

    def as_line(self) -> bytes:
        return orjson.dumps(
            {
                "file": self.file,
                "entry": self.entry,
                "resource": self.resource,
                "element": self.element,
                "rule": self.rule,
                "text": self.text,
                "hint": self.hint,
            }
        )
