"""A pass is good once, soon, for what it was asked for; the newest few are kept."""

from __future__ import annotations

import pytest

from cloister.base.errors import Denied
from cloister.server.passes import PASS_SECONDS, PASSES_MAX, Passes


def test_a_pass_is_taken_once_and_for_its_own_step_only() -> None:
    passes = Passes()
    word = passes.issue("GET /patients key", now=0)
    assert passes.take(["something", word], "GET /patients key", now=1) == word
    for what in ("GET /patients key", "POST /patients key"):
        with pytest.raises(Denied):
            passes.take([word], what, now=1)
    spent = passes.issue("GET /patients key", now=2)
    with pytest.raises(Denied):
        passes.take([spent], "GET /patients another", now=3)
    with pytest.raises(Denied):  # shown in the wrong place it is gone
        passes.take([spent], "GET /patients key", now=3)


def test_a_pass_ends_by_itself_and_only_the_newest_are_kept() -> None:
    passes = Passes()
    late = passes.issue("GET / key", now=0)
    with pytest.raises(Denied):
        passes.take([late], "GET / key", now=PASS_SECONDS + 0.1)
    words = [passes.issue(f"GET /{number} key", now=30) for number in range(PASSES_MAX + 1)]
    with pytest.raises(Denied):
        passes.take([words[0]], "GET /0 key", now=31)
    assert passes.take([words[1]], "GET /1 key", now=31)
