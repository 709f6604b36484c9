"""`phonetic`: names that sound alike, by Soundex. Spec: http://hl7.org/fhir/R4/patient.html#search ("some kind of phonetic matching").

Soundex as the National Archives of the United States describe it: the first letter and three digits for the consonants that
follow; neighbours of one sound count once, also with an h or w between. It was made for English names and does for French
ones what it can: Dupont, Dupond and Duppont are one, Hénault and Énault are not. Nothing of it is in any index.
"""

from __future__ import annotations

import re
from typing import Final

from cloister.records.search.fold import fold

WORD: Final = re.compile(r"[a-z]+")
SOUNDS: Final = {letter: digit for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), start=1) for letter in letters}
LENGTH: Final = 4


def soundex(word: str) -> str:
    """Of a folded word of the letters a to z."""
    found, last = word[0], SOUNDS.get(word[0], 0)
    for letter in word[1:]:
        sound = SOUNDS.get(letter, 0)
        if sound and sound != last:
            found += str(sound)
        if letter not in "hw":
            last = sound
    return found[:LENGTH].ljust(LENGTH, "0")


def sounds(text: str) -> frozenset[str]:
    """Of each word of a text."""
    return frozenset(soundex(word) for word in WORD.findall(fold(text)))
