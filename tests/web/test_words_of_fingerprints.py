"""The browser and the officer's session say the same words for the same keys."""

from __future__ import annotations

from pathlib import Path

from cloister.identity.words import WORDS


def test_the_browser_has_the_same_list_of_words() -> None:
    source = (Path(__file__).parents[2] / "frontend" / "src" / "wordlist.js").read_text()
    assert tuple(source.split("`")[1].split()) == WORDS
