"""A session that follows its person: to another terminal, through the death of its process, and back to what was being written."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from browser_rig import Desk, chromium, two_terminals
from crowd import crowded
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

PATIENT: Final = re.compile(r"/patients/[0-9a-f-]{36}$")
CARDIOLOGY: Final = "saint-roch-cardiology"
FOLLOW_SECONDS_MAX: Final = 5.0  # on a loaded machine; on a quiet one it is far under a second


@pytest.fixture
def terminals(trust: RunningTrust, tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    with two_terminals(trust, tmp_path) as both:
        yield both
        assert [desk.faults for desk in both] == [[], []]


def open_note_form(page: Page, trust: RunningTrust) -> None:
    page.goto(f"{trust.base}/?ward=all")
    page.locator("a.row-link").first.click()
    page.wait_for_url(PATIENT)
    page.goto(page.url + "/notes/new")


def kept(page: Page) -> None:
    expect(page.locator("[data-draft-status]")).to_have_attribute("data-state", "kept")


def process_of(trust: RunningTrust, page: Page) -> int:
    """The process of this page's session, as the agent wrote it down."""
    session = page.evaluate("fetch('/session/state').then((answer) => answer.json()).then((said) => said.session)")
    records = [json.loads(path.read_text()) for path in (trust.runtime / "sessions").glob("*.json")]
    return next(int(one["pid"]) for one in records if one["session"] == session)


def test_what_claire_types_follows_her_to_another_terminal_and_through_the_death_of_her_session(
    trust: RunningTrust, terminals: tuple[Desk, Desk]
) -> None:
    here, there = terminals
    claire = trust.person(role="doctor", ward=CARDIOLOGY)
    page = here.sign_in(claire)
    open_note_form(page, trust)
    words, form = f"Marche reprise sans appui {time.time_ns()}", page.url
    page.locator("#text").fill(words)
    kept(page)

    other = there.sign_in(claire)
    began = time.monotonic()
    expect(page.locator("#cover")).to_be_visible(timeout=FOLLOW_SECONDS_MAX * crowded() * 1000)
    assert time.monotonic() - began < FOLLOW_SECONDS_MAX * crowded()
    expect(page.locator("#cover")).to_contain_text(re.compile(r"It went on at \d+\.\d+"))
    assert words not in page.content(), "what was shown is gone, not hidden"
    expect(other).to_have_url(form)  # the same page
    expect(other.locator("#text")).to_have_value(words)
    expect(other.locator(".draft-offer")).to_be_visible()

    other.locator("#text").press("End")
    other.keyboard.type(" et sans douleur")
    kept(other)
    os.kill(process_of(trust, other), signal.SIGKILL)
    other.wait_for_url(re.compile("/login"), timeout=20_000)
    there.sign_in_here(claire)
    expect(other.locator("#text")).to_have_value(f"{words} et sans douleur")
    told_what_is_lost(there, other)

    other.locator("button[type=submit]:has-text('Save')").click()
    other.wait_for_url("**?saved=notes")
    other.goto(form)
    expect(other.locator("#text")).to_have_value("")
    expect(other.locator(".draft-offer")).to_have_count(0)
    there.sign_out()


def told_what_is_lost(desk: Desk, page: Page) -> None:
    """On every page until it is read: that the session died, and up to when which form is kept; in the person's language."""
    told = page.locator("#came-back")
    expect(told).to_contain_text(
        re.compile(r"Your last session stopped by a fault at \d\d:\d\d:\d\d\..*Everything that you saved is there\.")
    )
    expect(told.locator("li")).to_have_count(1)
    expect(told.locator("li")).to_contain_text(re.compile(r"what you typed is kept up to \d\d:\d\d:\d\d"))
    assert page.url.endswith(str(told.locator("li a").get_attribute("href")).removesuffix("#continue"))
    desk.context.add_cookies([{"name": "language", "value": "fr", "url": desk.trust.base}])
    assert "Tout ce que vous aviez enregistré est là." in page.evaluate("fetch('/came-back').then((answer) => answer.text())")
    desk.context.clear_cookies(name="language")
    told.get_by_role("button").click()
    expect(told.locator(".alert")).to_have_count(0)


def test_what_an_officer_types_is_kept_too_and_goes_with_the_form(trust: RunningTrust, terminals: tuple[Desk, Desk]) -> None:
    here, _ = terminals
    page = here.sign_in(trust.person(role="certificate-officer"))
    form, name = "/offices/applicants", f"Camille {time.time_ns() % 10**6}"
    here.go(form)
    expect(page.locator("#came-back")).to_have_count(0)
    page.locator("#new-name").fill(name)
    kept(page)
    here.go("/drafts")
    page.locator("a.entry").first.click()
    page.wait_for_url(f"**{form}*")
    expect(page.locator("#new-name")).to_have_value(name)
    page.locator("#sign_in").fill(f"camille.{time.time_ns()}")
    page.locator(f"form[action='{form}'] button[type=submit]").click()
    expect(page.locator("#new-code")).to_be_visible()
    here.go("/drafts")
    expect(page.locator("a.entry")).to_have_count(0)
    here.sign_out()


def test_claire_shows_her_screen_to_adele_who_sees_what_is_typed_and_can_press_nothing(
    trust: RunningTrust, terminals: tuple[Desk, Desk]
) -> None:
    here, there = terminals
    claire, adele = trust.person(role="doctor", ward=CARDIOLOGY), trust.person(role="nurse", ward="saint-roch-surgery")
    hers, page = here.sign_in(claire), there.sign_in(adele)
    open_note_form(hers, trust)
    page.goto(f"{trust.base}/shadow")
    page.locator("#sign-in-name").fill(claire["sign_in"])
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/shadow/*")

    expect(hers.locator("#shadow")).to_contain_text(f"{adele['name']} asks to see your screen")
    hers.get_by_role("button", name="Show my screen").click()
    expect(hers.locator("#shadow [data-watched]")).to_contain_text(f"{adele['name']} sees your screen")
    words = f"Visible pour Adele {time.time_ns()}"
    hers.locator("#text").fill(words)
    expect(page.locator("#shadow-name")).to_have_text(claire["name"], timeout=15_000)
    expect(page.locator("#shadow-screen")).to_be_visible(timeout=15_000)
    assert page.locator("#shadow-screen").get_attribute("inert") is not None
    # The picture stands in a closed shadow root, which no script of a page reaches: the answers say what was drawn.
    looked = page.evaluate("fetch(location.pathname + '/look?after=0', {headers: {accept: 'application/json'}}).then((a) => a.json())")
    assert words in looked["picture"]["html"]
    assert "onclick" not in looked["picture"]["html"]

    hers.locator("#shadow [data-watched] button").click()
    expect(hers.locator("#shadow [data-watched]")).to_have_count(0)
    expect(page.locator("#shadow-screen")).to_be_hidden(timeout=15_000)
    over = page.evaluate("fetch(location.pathname + '/look?after=0', {headers: {accept: 'application/json'}}).then((a) => a.status)")
    assert over == 403, "the key is gone with the showing"
