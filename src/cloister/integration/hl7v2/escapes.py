r"""Escape sequences of a text field, HL7 v2.5 2.7: \F\ \S\ \T\ \R\ \E\ \Xdd..\, \.br\; what is only for display (\H\ \N\ \.sp\) goes.

A sequence that is not known stays as it is written: nothing of a text is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SEQUENCE_CHARACTERS_MAX: Final = 1000
BREAKS: Final = re.compile(r"\.(br|sp)(\d{0,2})?")
DISPLAY: Final = re.compile(r"[HN]|\.(fi|nf|ce|in[+-]?\d{0,3}|ti[+-]?\d{0,3}|sk\d{0,3})")


@dataclass(frozen=True, slots=True)
class Delimiters:
    """MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def characters(self) -> str:
        return self.component + self.repetition + self.escape + self.subcomponent


USUAL: Final = Delimiters()


def unescaped(text: str, by: Delimiters = USUAL, charset: str = "utf-8") -> str:
    """The text that was meant."""
    if not by.escape or by.escape not in text:
        return text
    out: list[str] = []
    at = 0
    while (start := text.find(by.escape, at)) >= 0:
        end = text.find(by.escape, start + 1, start + SEQUENCE_CHARACTERS_MAX)
        meant = _meant(text[start + 1 : end], by, charset) if end > start else None
        if meant is None:  # a lone escape character, or a sequence that nobody knows
            out.append(text[at : start + 1])
            at = start + 1
            continue
        out.append(text[at:start])
        out.append(meant)
        at = end + 1
    out.append(text[at:])
    return "".join(out)


def _meant(inner: str, by: Delimiters, charset: str) -> str | None:
    named = {"F": by.field, "S": by.component, "T": by.subcomponent, "R": by.repetition, "E": by.escape}.get(inner)
    if named is not None:
        return named
    if inner[:1] == "X" and len(inner) > 1 and len(inner) % 2:
        try:
            return bytes.fromhex(inner[1:]).decode(charset)
        except (ValueError, UnicodeDecodeError):
            return None
    found = BREAKS.fullmatch(inner)
    if found:
        return ("\n" if found[1] == "br" else "\n") * max(1, int(found[2] or 1))
    return "" if DISPLAY.fullmatch(inner) else None


def escaped(text: str, by: Delimiters = USUAL) -> str:
    """A text as it may stand in a field: for acknowledgements. Line ends become \\.br\\."""
    named = {by.escape: "E", by.field: "F", by.component: "S", by.subcomponent: "T", by.repetition: "R", "\r": "X0D", "\n": ".br"}
    return "".join(f"{by.escape}{named[one]}{by.escape}" if one in named else one for one in text)
