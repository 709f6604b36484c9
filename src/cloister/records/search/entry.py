"""One line of a dossier index: what a search needs to know of one resource version, and nothing else.

The values are plain lists of text and numbers, so that msgpack packs a dossier's index in one call. They stand
by *place*: a number for each path that some search parameter of the type looks at. Parameters that look at the
same path share the place (`subject` and `patient`, `code` and `combo-code`), see `Parameter.places`.

Shape by kind of parameter (all lists are flat, the groups follow each other):
  token      text: system 0x1F code, the code in lower case; without a system the text starts with 0x1F.
             0x1E type-system 0x1F type-code 0x1F value: an identifier with its type (for `:of-type`)
  reference  text: Type/id, or an absolute URL as it stands; 0x1E system 0x1F value: its identifier (for `:identifier`)
  string     text: folded (fold.py), followed by 0x1F and the original where folding changed it
  uri        text as it stands
  date       low, high: microseconds since 1970 UTC, high is exclusive
  quantity   low, high, key; key = system 0x1F code 0x1F unit
  number     low, high
0x1E and 0x1F cannot occur in valid FHIR text: validation refuses control characters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

UNIT: Final = "\x1f"
RECORD: Final = "\x1e"
TIME_MIN: Final = -(2**62)
TIME_MAX: Final = 2**62

Value = str | int | float
Values = dict[int, list[Value]]  # place -> values


class IndexEntry(NamedTuple):
    """A resource version in a dossier's index. Packs as an array of five."""

    type: str
    id: str
    version: int
    updated: int  # microseconds since 1970 UTC
    values: Values
