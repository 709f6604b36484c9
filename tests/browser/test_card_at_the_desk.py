"""Claire signs in with her card through the agent of her workstation; when she pulls it out, her screen locks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_rig import Desk, browser_at, chromium, newcomer
from card_rig import MISSING, Card, CardDrawer, RunningAgent, available
from crowd import crowded
from playwright.sync_api import Page, expect
from running_trust import RunningTrust

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
    page.wait_for_url(lambda url: "locked=card" in url, timeout=15_000)
    seconds = time.monotonic() - pulled
    expect(page.locator("#locked-card")).to_be_visible()
    other.wait_for_url(lambda url: "locked=card" in url, timeout=15_000)
    state = page.evaluate("fetch('/session/state').then((answer) => answer.json())")
    assert state["state"] == "locked"
    assert seconds < LOCKED_SECONDS_MAX * crowded(), f"{seconds:.2f} s"
    print(f"locked {seconds:.2f} s after the card was pulled")


def said(page: Page, reason: str) -> str:
    alert = page.locator(f'.alert[data-reason="{reason}"], #alert[data-reason="{reason}"]')
    expect(alert).to_be_visible(timeout=20_000)
    return alert.inner_text()


def test_each_thing_that_goes_wrong_with_a_card_is_said_in_its_own_words(desk: Desk, drawer: CardDrawer) -> None:
    nadia, thomas = (desk.trust.person(sign_in=name) for name in ("nadia.haddad", "thomas.olivier"))
    page = use_card(desk, nadia["sign_in"])
    assert "cloister-card" in said(page, "agent-missing")
    drawer.card("Nadia Haddad")
    with drawer.agent("https://another.example", port=PORT):
        use_card(desk, nadia["sign_in"])
        assert "origins" in said(page, "agent-origin")
    with drawer.agent(desk.trust.base, port=PORT) as agent:
        use_card(desk, nadia["sign_in"])
        assert "does not belong to this name" in said(page, "other-card")
        desk.sign_in(nadia)
        add_card(desk, nadia["passphrase"])
        desk.sign_out()
        use_card(desk, thomas["sign_in"])
        said(page, "other-card")
        agent.typed.write_text("000000")
        use_card(desk, nadia["sign_in"])
        assert "PIN is wrong" in said(page, "wrong-pin-low")
        (drawer.folder / "pin-program").write_text("#!/bin/sh\nexit 1\n")
        use_card(desk, nadia["sign_in"])
        said(page, "pin-cancelled")
        drawer.cards[0].pull()
        page.wait_for_timeout(600)
        use_card(desk, nadia["sign_in"])
        said(page, "no-card")
    desk.go("/login?lang=fr")
    page.locator("#name").fill(nadia["sign_in"])
    page.locator("#use-card").click()
    assert "agent de carte" in said(page, "agent-missing")


def test_a_session_ends_with_the_agent_that_lent_the_card(desk: Desk, card: Card, agent: RunningAgent) -> None:
    """Somebody who stops the agent instead of pulling the card out keeps no open screen either."""
    sophie = desk.trust.person(sign_in="sophie.marchal")
    desk.sign_in(sophie)
    add_card(desk, sophie["passphrase"])
    desk.sign_out()
    page = use_card(desk, sophie["sign_in"])
    inside(page)
    page.wait_for_timeout(500)
    agent.process.kill()
    page.wait_for_url(lambda url: "locked=card" in url, timeout=15_000)


def test_a_card_that_only_signs_asks_for_the_passphrase_too(desk: Desk, drawer: CardDrawer) -> None:
    philippe = desk.trust.person(sign_in="philippe.garnier")
    drawer.card("Philippe Garnier", kind="RSA", use="sign")
    with drawer.agent(desk.trust.base, port=PORT):
        desk.sign_in(philippe)
        add_card(desk, philippe["passphrase"])
        desk.sign_out()
        page = use_card(desk, philippe["sign_in"])
        assert "can only sign" in said(page, "card-passphrase")
        page.locator("#passphrase").fill(philippe["passphrase"])
        page.locator("#use-card").click()
        inside(page)


@pytest.mark.parametrize(("allowed", "reason"), [(True, "other-card"), (False, "agent-permission")])
def test_a_page_from_the_network_reaches_the_agent_when_the_browser_was_allowed_to(
    trust: RunningTrust, card: Card, drawer: CardDrawer, tmp_path: Path, allowed: bool, reason: str
) -> None:
    """As at a real workstation: the trust is not this computer (W3C Local Network Access)."""
    if chromium() is None:
        pytest.skip("No Chromium on this machine; set CLOISTER_CHROMIUM to one.")
    port = trust.base.rsplit(":", 1)[1]
    elsewhere = [f"--ip-address-space-overrides=127.0.0.1:{port}=public,[::1]:{port}=public"]
    with drawer.agent(trust.base, port=PORT), browser_at(trust, tmp_path / "profile", more=elsewhere, whole=True) as desk:
        if allowed:
            desk.context.grant_permissions(["local-network-access"], origin=trust.base)
        said(use_card(desk, "claire.vasseur"), reason)


def test_a_session_opened_by_passphrase_does_not_ask_for_a_card(desk: Desk) -> None:
    adele = desk.trust.person(sign_in="adele.morel")
    page = desk.sign_in(adele)
    assert page.locator("body").get_attribute("data-card") is None
    page.wait_for_timeout(1_000)
    assert "/login" not in page.url


def test_somebody_new_enrols_with_a_card_beside_the_passphrase(desk: Desk, drawer: CardDrawer) -> None:
    name, sign_in = newcomer("Louise", "Petit")
    drawer.card(name)
    sebastien, louise = desk.trust.person(sign_in="sebastien.lemoine"), {"sign_in": sign_in, "passphrase": "bouleau-vitrail-compas"}
    page = desk.sign_in(sebastien)
    page.goto(f"{desk.trust.base}/offices/applicants")
    page.fill("#new-name", name)
    page.fill("#sign_in", louise["sign_in"])
    page.select_option("#role", "nurse")
    page.select_option("#hospital", "saint-roch")
    page.locator("main form[action='/offices/applicants'] button").click()
    code = page.locator("#new-code code").inner_text()
    desk.sign_out()
    with drawer.agent(desk.trust.base, port=PORT):
        page = desk.go("/enrol?lang=en")
        for field, value in (
            ("name", louise["sign_in"]),
            ("code", code),
            ("passphrase", louise["passphrase"]),
            ("again", louise["passphrase"]),
        ):
            page.fill(f"#{field}", value)
        page.locator("#use-card").click()
        expect(page.locator("#done, #alert:visible")).to_be_visible(timeout=20_000)
        assert page.locator("#done").is_visible(), page.locator("#alert").inner_text()
        words = page.locator("#fingerprint").inner_text()
        page = desk.sign_in(sebastien)
        page.goto(f"{desk.trust.base}/offices/applicants")
        page.locator("a.row-link", has_text=name).click()
        page.fill("#words-heard", words)
        page.locator("main form[action$='/certify'] button").click()
        page.wait_for_url("**?done=certified")
        desk.sign_out()
        inside(use_card(desk, louise["sign_in"]))
