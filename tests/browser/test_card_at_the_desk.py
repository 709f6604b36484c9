"""Claire signs in with her card through the agent of her workstation; when she pulls it out, her screen locks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_rig import Desk
from card_rig import MISSING, Card, CardDrawer, RunningAgent, available
from playwright.sync_api import Page, expect

from cloister.workstation.serving import PORT

LOCKED_SECONDS_MAX = 2.0


@pytest.fixture
def drawer(tmp_path: Path) -> CardDrawer:
    if not available():
        pytest.skip(MISSING)
    folder = tmp_path / "drawer"
    folder.mkdir()
    return CardDrawer(folder)


@pytest.fixture
def card(drawer: CardDrawer) -> Card:
    return drawer.card("Claire Vasseur")


@pytest.fixture
def agent(card: Card, drawer: CardDrawer, desk: Desk) -> Iterator[RunningAgent]:
    """On the port where pages look for it."""
    with drawer.agent(desk.trust.base, port=PORT) as running:
        yield running


def add_card(desk: Desk, passphrase: str) -> None:
    page = desk.go("/account")
    page.locator("#card-passphrase").fill(passphrase)
    page.locator("#card-button").click()
    expect(page.locator(".alert-success, #card-alert:visible")).to_be_visible(timeout=20_000)
    assert "added=card" in page.url, page.locator("#card-alert").inner_text()


def use_card(desk: Desk, name: str) -> Page:
    page = desk.go("/login")
    page.locator("#name").fill(name)
    page.locator("#use-card").click()
    return page


def inside(page: Page) -> None:
    expect(page.locator(".who, #alert:visible")).to_be_visible(timeout=20_000)
    assert "/login" not in page.url, page.locator("#alert").inner_text()


def test_a_card_signs_in_and_pulling_it_out_locks_every_page_within_two_seconds(desk: Desk, card: Card, agent: RunningAgent) -> None:
    claire = desk.trust.person(sign_in="claire.vasseur")
    desk.sign_in(claire)
    add_card(desk, claire["passphrase"])
    desk.sign_out()
    page = use_card(desk, claire["sign_in"])
    inside(page)
    assert f"{desk.trust.base} asks your card to sign you in." in agent.questions()
    other = desk.context.new_page()
    other.goto(desk.trust.base + "/account")
    page.bring_to_front()
    page.wait_for_timeout(500)
    pulled = card.pull()
    page.wait_for_url(lambda url: "locked=card" in url, timeout=5_000)
    seconds = time.monotonic() - pulled
    expect(page.locator("#locked-card")).to_be_visible()
    other.wait_for_url(lambda url: "locked=card" in url, timeout=3_000)
    state = page.evaluate("fetch('/session/state').then((answer) => answer.json())")
    assert state["state"] == "locked"
    assert seconds < LOCKED_SECONDS_MAX, f"{seconds:.2f} s"
    print(f"locked {seconds:.2f} s after the card was pulled")
