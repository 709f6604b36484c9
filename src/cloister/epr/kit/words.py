"""Sentences by key, in English and French. A module's own stand in its folder: words/en.json, words/fr.json.

A key is `module.name`; `{places}` are filled in; a key with `n` chooses `key.one` or `key.other` (French: 0 and 1 are one).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from cloister.base.errors import Corrupt
from cloister.epr.kit.moment import Moment, of_day, of_time

LANGUAGES: Final = ("en", "fr")


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language."""

    language: str
    sentences: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        sentence = self.sentences.get(self._chosen(key, values))
        if sentence is None:
            return key
        return sentence.format(**values) if values else sentence

    def has(self, key: str) -> bool:
        return key in self.sentences

    def or_else(self, key: str, text: str) -> str:
        """The sentence of the key, or this text where the catalogue has none: for codes of open lists."""
        return self.sentences.get(key, text)

    def date(self, when: Moment | date | datetime | str | None, *, time: bool = True) -> str:
        if when is None or when == "":
            return ""
        if isinstance(when, str):
            when = Moment(when)
        elif isinstance(when, datetime):
            when = of_time(when)
        elif isinstance(when, date):
            when = of_day(when)
        return when.shown(self.language, time=time)

    def num(self, text: str) -> str:
        """A number as this language writes it: 37.5 or 37,5."""
        return text.replace(".", ",") if self.language == "fr" else text

    def span(self, days: int) -> str:
        """A length of time in its own unit: 3 days, 5 months, 9 years."""
        if days >= 730:
            return self("kit.years", n=round(days / 365.25))
        return self("kit.months", n=round(days / 30.44)) if days >= 60 else self("kit.days", n=days)

    def _chosen(self, key: str, values: Mapping[str, object]) -> str:
        n = values.get("n")
        if not isinstance(n, int) or f"{key}.other" not in self.sentences:
            return key
        one = n <= 1 if self.language == "fr" else n == 1
        return f"{key}.one" if one else f"{key}.other"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The words of all languages; every language has every key."""

    languages: Mapping[str, Words]

    def of(self, language: str | None) -> Words:
        return self.languages.get((language or "")[:2].lower(), self.languages["en"])

    def wanted(self, *, chosen: str | None, accept: str, usual: str = "en") -> Words:
        """What the person has chosen, else the first of Accept-Language (RFC 9110 12.5.4) that there is, else the usual."""
        if chosen in self.languages:
            return self.languages[str(chosen)]
        for part in accept.split(",")[:10]:
            language = part.split(";")[0].strip()[:2].lower()
            if language in self.languages:
                return self.languages[language]
        return self.of(usual)


def read_catalogue(folders: Iterable[Path]) -> Catalogue:
    """All words of these `words/` folders; raises Corrupt when a key is missing in one language or stands twice."""
    languages: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for folder in folders:
        for language, sentences in languages.items():
            found = json.loads((folder / f"{language}.json").read_text(encoding="utf-8"))
            twice = sentences.keys() & found.keys()
            if twice:
                raise Corrupt(f"Words stand twice: {sorted(twice)[:5]} in {folder}.")
            sentences.update(found)
    first, *others = languages.items()
    for language, sentences in others:
        unequal = first[1].keys() ^ sentences.keys()
        if unequal:
            raise Corrupt(f"Words are not in both {first[0]} and {language}: {sorted(unequal)[:10]}.")
    return Catalogue({language: Words(language, sentences) for language, sentences in languages.items()})
