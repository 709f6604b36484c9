"""A colleague's screen from a terminal: only with their consent on their own screen, as text, and without power over the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from running_trust import RunningTrust, SignedIn

from cloister.base.errors import Denied, NotFound
from cloister.base.settings import read_settings
from cloister.cli.own_session import OwnSession
from cloister.cli.shadow import as_text, watched

CARDIOLOGY = "saint-roch-cardiology"


def test_nothing_of_a_page_can_steer_the_terminal() -> None:
    html = (
        "<h1>Ward\x1b[2J</h1><table><tr><td>Lopez</td><td>bed 4</td></tr></table><input value='38.5'><input type='checkbox' checked> fever"
    )
    lines = as_text({"html": html, "title": "A\x07ge", "path": "/x"})
    assert lines == ["--- Age (/x)", "Ward[2J", "Lopez bed 4", "[38.5] [x] fever"]


def test_damien_sees_claires_page_in_his_terminal_when_she_says_yes_and_not_before(trust: RunningTrust) -> None:
    claire = trust.person(role="doctor", ward=CARDIOLOGY)
    her, damien = trust.sign_in(claire), trust.person(role="it-operator")
    his = OwnSession(read_settings(trust.environment), damien["sign_in"], damien["passphrase"])
    try:
        lines = watched(his, claire["sign_in"], pause=lambda _: None)
        assert "waiting" in next(lines)
        answer(her, "no")
        with pytest.raises(Denied) as refused:
            next(lines)
        assert refused.value.reason == "shadow-refused"

        lines = watched(his, claire["sign_in"], pause=lambda _: None)
        next(lines)
        answer(her, "yes")
        assert "shows you" in next(lines)
        shown: dict[str, Any] = {"html": "<p>Good morning</p>", "title": "Start", "path": "/", "width": 900, "scroll": 0}
        her.client.post("/shadow/frame", json=shown).raise_for_status()
        assert [next(lines), next(lines)] == ["--- Start (/)", "Good morning"]
        lines.close()
        assert her.client.post("/shadow/frame", json={**shown, "title": "Later"}).json()["watchers"] == []
        with pytest.raises(NotFound):
            next(watched(his, "nobody.atall"))
    finally:
        his.close()


def answer(her: SignedIn, word: str) -> None:
    badge = her.client.get("/shadow/badge", headers={"accept": "text/html", "hx-request": "true"}).text
    number = badge.split("/shadow/")[1].split("/answer")[0]
    her.client.post(f"/shadow/{number}/answer", data={"answer": word}).raise_for_status()
