"""A part of a file by its bytes. RFC 9110 14.1.2, 14.2: one range; whatever else stands in `Range` is as if it did not stand there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FORM: Final = re.compile(r"bytes=\s*(\d{0,15})-(\d{0,15})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """From `first` to `last`, both counted; without `first` the last so many bytes."""

    first: int | None
    last: int | None

    def within(self, size: int) -> tuple[int, int] | None:
        """(start, end) of a file of so many bytes, end not counted; None where nothing of it is asked for (416)."""
        if self.first is None:
            start, end = max(0, size - (self.last or 0)), size
        else:
            start, end = self.first, size if self.last is None else min(size, self.last + 1)
        return (start, end) if start < end else None


def asked(header: str) -> Asked | None:
    """None for no range, several, another unit, or one that ends before it begins."""
    match = FORM.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    first, last = (int(text) if text else None for text in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return Asked(first, last)
